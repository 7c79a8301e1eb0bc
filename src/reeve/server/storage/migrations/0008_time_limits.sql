-- Time limits and the crash budget's details (docs/decisions/0013-time-limits.md). Lengths are seconds, what
-- follows is fail, cancel or retry; crash_retry_on is null for every reason.
alter table deployment_options add column crash_retry_delay double precision not null default 0;
alter table deployment_options add column crash_retry_on {json};
alter table deployment_options add column max_pending double precision;
alter table deployment_options add column max_pending_then text;
alter table deployment_options add column max_run double precision;
alter table deployment_options add column max_run_then text;
alter table deployment_options add column must_start_by double precision;
alter table deployment_options add column must_start_by_then text;

-- limits: as the deployment had them at the claim; expires: when the next of them is over.
alter table attempts add column crash_reason text;
alter table attempts add column stop_failed bigint;
alter table attempts add column limits {json};
alter table attempts add column expires bigint;
create index attempts_open_by_expiry on attempts (expires) where closed is null and expires is not null;
create index attempts_open_unstoppable on attempts (stop_failed) where closed is null and stop_failed is not null;
