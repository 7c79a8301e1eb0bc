-- A limit of a deployment's own: filled by its open attempts, wherever its runs wait (protocol §1, §2).
alter table deployment_options add column concurrency_limit bigint;
create index deployment_options_limited on deployment_options (deployment_id) where concurrency_limit is not null;

alter table attempts add column deployment_id {uuid};
update attempts set deployment_id = (select r.deployment_id from flow_runs r where r.id = attempts.flow_run_id)
where closed is null;
create index attempts_open_by_deployment on attempts (deployment_id) where closed is null;
