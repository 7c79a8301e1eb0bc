-- Since when something is paused (for explain), and what an operator told an agent to do.

alter table work_pools add column paused_since bigint;
alter table work_queues add column paused_since bigint;
alter table deployments add column paused_since bigint;

-- What lasts over a restart of the server is the order, so it is stored and not only passed on.
alter table agents add column mode text not null default 'RUNNING';
