-- Searches that people keep, and whom to tell of which states of runs.

create table saved_searches (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    name text not null unique,
    filters {json} not null
);

create table flow_run_notification_policies (
    id {uuid} primary key,
    created bigint not null,
    updated bigint not null,
    is_active boolean not null,
    state_names {json} not null,
    tags {json} not null,
    block_document_id {uuid} not null references block_documents (id) on delete cascade,
    message_template text
);

-- What is still to be sent: written with the state it tells of, deleted when it was sent or given up.
create table flow_run_notifications (
    cursor {serial},
    policy_id {uuid} not null references flow_run_notification_policies (id) on delete cascade,
    state_id {uuid} not null references flow_run_states (id) on delete cascade,
    tries bigint not null,
    due bigint not null
);
create index flow_run_notifications_by_due on flow_run_notifications (due);
create index flow_run_notifications_by_state on flow_run_notifications (state_id);
