-- When the scheduler must look at a deployment again: until then all runs are there that its schedules ask for.
-- 0: at once, for it was changed.
alter table deployments add column look_again bigint not null default 0;
create index deployments_to_look_at on deployments (look_again) where not paused;
