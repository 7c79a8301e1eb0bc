-- The first schema. Instants are microseconds since 1970 (UTC) and durations are seconds, so that both
-- databases compare and add them alike; {uuid}, {json} and {serial} are the types that differ by database.

create table flows (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    tags {json} not null
);

create table work_pools (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    type text not null,
    description text,
    base_job_template {json} not null,
    is_paused boolean not null,
    concurrency_limit bigint,
    status text,
    default_queue_id {uuid},
    on_lost text not null
);

create table work_queues (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null,
    work_pool_id {uuid} not null references work_pools (id) on delete cascade,
    description text not null,
    is_paused boolean not null,
    concurrency_limit bigint,
    priority bigint not null,
    filter {json},
    last_polled bigint,
    status text not null,
    unique (work_pool_id, name)
);

create table deployments (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    flow_id {uuid} not null references flows (id) on delete cascade,
    name text not null,
    version text,
    description text,
    paused boolean not null,
    job_variables {json} not null,
    parameters {json} not null,
    tags {json} not null,
    work_queue_id {uuid} references work_queues (id) on delete set null,
    work_queue_name text,
    last_polled bigint,
    parameter_openapi_schema {json},
    enforce_parameter_schema boolean not null,
    path text,
    entrypoint text,
    pull_steps {json},
    manifest_path text,
    storage_document_id {uuid},
    infrastructure_document_id {uuid},
    created_by {json},
    updated_by {json},
    status text not null,
    unique (flow_id, name)
);
create index deployments_by_update on deployments (updated);
create index deployments_by_queue on deployments (work_queue_id);

-- What reeve adds to a deployment; no 2.20 request writes here (protocol §5).
create table deployment_options (
    deployment_id {uuid} primary key references deployments (id) on delete cascade,
    engine text not null,
    crash_retries bigint not null,
    code_version text
);

create table deployment_schedules (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    deployment_id {uuid} not null references deployments (id) on delete cascade,
    schedule {json} not null,
    active boolean not null,
    max_active_runs bigint,
    max_scheduled_runs bigint,
    catchup boolean not null
);
create index deployment_schedules_by_deployment on deployment_schedules (deployment_id);

create table flow_runs (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null,
    flow_id {uuid} not null references flows (id) on delete cascade,
    deployment_id {uuid} references deployments (id) on delete set null,
    deployment_version text,
    work_queue_id {uuid} references work_queues (id) on delete set null,
    work_queue_name text,
    flow_version text,
    parameters {json} not null,
    idempotency_key text,
    context {json} not null,
    empirical_policy {json} not null,
    retry_type text,
    tags {json} not null,
    parent_task_run_id {uuid},
    state_id {uuid},
    state_type text,
    state_name text,
    state_timestamp bigint,
    run_count bigint not null,
    expected_start_time bigint,
    next_scheduled_start_time bigint,
    start_time bigint,
    end_time bigint,
    total_run_time double precision not null,
    auto_scheduled boolean not null,
    infrastructure_document_id {uuid},
    infrastructure_pid text,
    created_by {json},
    job_variables {json},
    attempt_id {uuid},
    crash_count bigint not null,
    had_lease boolean not null,
    unique (flow_id, idempotency_key)
);
-- The line of candidates of each queue: what every poll reads, and nothing else is in it.
create index flow_runs_due on flow_runs (work_queue_id, next_scheduled_start_time, id)
where state_type = 'SCHEDULED' and attempt_id is null;
create index flow_runs_by_state on flow_runs (state_type, next_scheduled_start_time);
create index flow_runs_by_deployment on flow_runs (deployment_id, state_type, next_scheduled_start_time);
create index flow_runs_by_start on flow_runs (expected_start_time);
create index flow_runs_by_end on flow_runs (end_time);
create index flow_runs_by_parent on flow_runs (parent_task_run_id);

create table flow_run_states (
    cursor {serial},
    id {uuid} not null unique,
    flow_run_id {uuid} not null references flow_runs (id) on delete cascade,
    type text not null,
    name text not null,
    timestamp bigint not null,
    message text,
    data {json},
    details {json} not null
);
create index flow_run_states_by_run on flow_run_states (flow_run_id, cursor);

create table task_runs (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null,
    flow_run_id {uuid} references flow_runs (id) on delete cascade,
    task_key text not null,
    dynamic_key text not null,
    cache_key text,
    cache_expiration bigint,
    task_version text,
    empirical_policy {json} not null,
    tags {json} not null,
    task_inputs {json} not null,
    state_id {uuid},
    state_type text,
    state_name text,
    state_timestamp bigint,
    run_count bigint not null,
    flow_run_run_count bigint not null,
    expected_start_time bigint,
    next_scheduled_start_time bigint,
    start_time bigint,
    end_time bigint,
    total_run_time double precision not null
);
create unique index task_runs_key on task_runs (flow_run_id, task_key, dynamic_key) where flow_run_id is not null;
create unique index task_runs_free_key on task_runs (task_key, dynamic_key) where flow_run_id is null;
create index task_runs_by_start on task_runs (expected_start_time);

create table task_run_states (
    cursor {serial},
    id {uuid} not null unique,
    task_run_id {uuid} not null references task_runs (id) on delete cascade,
    type text not null,
    name text not null,
    timestamp bigint not null,
    message text,
    data {json},
    details {json} not null
);
create index task_run_states_by_run on task_run_states (task_run_id, cursor);

create table task_run_cache (
    cache_key text not null,
    expiration bigint,
    task_run_state_id {uuid} not null references task_run_states (id) on delete cascade,
    created bigint not null
);
create index task_run_cache_by_key on task_run_cache (cache_key, created);

create table agents (
    id {uuid} primary key,
    created bigint not null,
    name text not null,
    host text not null,
    machine_id text not null,
    boot_id text not null,
    epoch bigint not null,
    work_pool_id {uuid} not null references work_pools (id) on delete cascade,
    queues {json} not null,
    prefixes {json} not null,
    slots bigint,
    version text not null,
    last_grant bigint not null,
    started bigint not null,
    last_seen bigint not null,
    status text not null
);
create index agents_by_name on agents (name);

create table attempts (
    id {uuid} primary key,
    flow_run_id {uuid} not null references flow_runs (id) on delete cascade,
    number bigint not null,
    kind text not null,
    state text not null,
    opened bigint not null,
    agent_id {uuid} references agents (id) on delete set null,
    epoch bigint,
    grant_number bigint,
    work_pool_id {uuid},
    work_queue_id {uuid},
    lease_until bigint,
    unreachable boolean not null,
    launched bigint,
    started bigint,
    closed bigint,
    last_seq bigint not null,
    handle {json},
    exit_code bigint,
    signal bigint,
    cpu_seconds double precision,
    max_rss_kib bigint,
    cause text,
    output_tail text,
    unique (flow_run_id, number)
);
-- At most one open attempt per run, whatever the code does.
create unique index attempts_open on attempts (flow_run_id) where closed is null;
create index attempts_open_by_agent on attempts (agent_id, grant_number) where closed is null;
create index attempts_open_by_queue on attempts (work_queue_id) where closed is null;
create index attempts_open_by_pool on attempts (work_pool_id) where closed is null;
create index attempts_open_by_lease on attempts (lease_until) where closed is null and lease_until is not null;

create table workers (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null,
    work_pool_id {uuid} not null references work_pools (id) on delete cascade,
    last_heartbeat_time bigint,
    heartbeat_interval_seconds bigint,
    status text not null,
    unique (work_pool_id, name)
);

create table logs (
    cursor {serial},
    id {uuid} not null,
    created bigint not null,
    name text not null,
    level bigint not null,
    message text not null,
    timestamp bigint not null,
    flow_run_id {uuid},
    task_run_id {uuid},
    attempt_id {uuid}
);
create index logs_by_run on logs (flow_run_id, cursor);
create index logs_by_run_time on logs (flow_run_id, timestamp);
create index logs_by_time on logs (timestamp);

-- How far each standard stream of an attempt has been stored: repeats are harmless (protocol §7).
create table output_offsets (
    attempt_id {uuid} not null references attempts (id) on delete cascade,
    stream text not null,
    next_offset bigint not null,
    primary key (attempt_id, stream)
);

create table events (
    cursor {serial},
    id {uuid} not null,
    at bigint not null,
    kind text not null,
    flow_run_id {uuid},
    attempt_id {uuid},
    agent_id {uuid},
    payload {json} not null
);
create index events_by_run on events (flow_run_id, cursor);
create index events_by_time on events (at);

create table flow_run_inputs (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    flow_run_id {uuid} not null references flow_runs (id) on delete cascade,
    key text not null,
    value text not null,
    sender text,
    unique (flow_run_id, key)
);

create table artifacts (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    key text,
    type text,
    description text,
    data {json},
    metadata_ {json},
    flow_run_id {uuid},
    task_run_id {uuid}
);
create index artifacts_by_key on artifacts (key, created);
create index artifacts_by_run on artifacts (flow_run_id);

create table variables (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    value text not null,
    tags {json} not null
);

create table tag_limits (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    tag text not null unique,
    size bigint not null
);

create table slot_limits (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    size bigint not null,
    active boolean not null,
    decay_per_second double precision not null
);

-- Slots of tag limits and of the limits above are rows with a holder (protocol §1).
create table slots (
    id {uuid} primary key,
    tag_limit_id {uuid} references tag_limits (id) on delete cascade,
    slot_limit_id {uuid} references slot_limits (id) on delete cascade,
    holder text not null,
    task_run_id {uuid},
    attempt_id {uuid} references attempts (id) on delete cascade,
    taken bigint not null,
    until bigint
);
create index slots_by_tag_limit on slots (tag_limit_id);
create index slots_by_slot_limit on slots (slot_limit_id);
create index slots_by_task_run on slots (task_run_id);
create index slots_by_attempt on slots (attempt_id);

create table block_types (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    slug text not null unique,
    logo_url text,
    documentation_url text,
    description text,
    code_example text,
    is_protected boolean not null
);

create table block_schemas (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    checksum text not null,
    fields {json} not null,
    block_type_id {uuid} not null references block_types (id) on delete cascade,
    capabilities {json} not null,
    version text not null,
    unique (checksum, version)
);

create table block_documents (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null,
    data {json} not null,
    block_schema_id {uuid} not null references block_schemas (id) on delete cascade,
    block_type_id {uuid} not null references block_types (id) on delete cascade,
    is_anonymous boolean not null,
    unique (block_type_id, name)
);

-- Values of the whole installation: the secret of the attempt tokens, the scheduler's place.
create table installation (
    key text primary key,
    value text not null
);
