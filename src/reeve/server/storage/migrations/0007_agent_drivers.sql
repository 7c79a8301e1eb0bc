-- What an agent can launch (W48): the types of infrastructure blocks and work pools that its drivers know, how
-- early it launches (in microseconds), and what it launches by where a run names nothing: a block of the
-- server's, or one of its own, of which only the type is known here.
alter table agents add column kinds {json} not null default '["process"]';
alter table agents add column prefetch bigint not null default 0;
alter table agents add column default_document_id {uuid};
alter table agents add column default_kind text;
