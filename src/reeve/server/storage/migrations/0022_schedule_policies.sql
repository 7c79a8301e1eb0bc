-- What reeve adds to a schedule (docs/decisions/0020-schedule-policies.md): without a row it does as 2.20.
-- made_until: up to when each date has its run; null: what was before is not made up for.
create table schedule_policies (
    schedule_id {uuid} primary key,
    deployment_id {uuid} not null references deployments (id) on delete cascade,
    parameters {json} not null,
    catchup text,
    max_late double precision,
    overlap text not null default 'allow',
    made_until bigint
);
create index schedule_policies_by_deployment on schedule_policies (deployment_id);

-- The unfinished runs of schedules with a policy. held: nobody may claim it yet.
create table scheduled_runs (
    flow_run_id {uuid} primary key references flow_runs (id) on delete cascade,
    schedule_id {uuid} not null,
    due bigint not null,
    held boolean not null default false
);
create index scheduled_runs_by_schedule on scheduled_runs (schedule_id);
create index scheduled_runs_by_due on scheduled_runs (due, schedule_id);
create index scheduled_runs_held on scheduled_runs (flow_run_id) where held;

-- The version of the code that an attempt was opened for, or has fetched.
alter table attempts add column code_version text;
