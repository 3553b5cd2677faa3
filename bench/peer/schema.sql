-- The peer's audit table: the columns of an event, as an experienced PostgreSQL user would lay them out.
-- It has no event_hash: an audit table seldom has one, and without it the peer is smaller and faster than it would be.
-- JSON values are text, as in the journal: the cheapest type to write, and the only one that returns them unchanged.
create table audit (
  seq            bigserial primary key,
  event_id       text        not null,
  occurred_at    timestamptz not null,
  recorded_at    timestamptz not null default now(),
  workspace_id   text        not null,
  entity_type    text        not null,
  entity_id      text        not null,
  field          text        not null,
  action         text        not null,
  old_value      text,
  new_value      text,
  actor          text        not null,
  actor_type     text,
  source         text        not null,
  correlation_id text,
  metadata       text,
  unique (workspace_id, event_id)
);
create index audit_entity on audit (workspace_id, entity_type, entity_id, seq);
create index audit_time on audit (workspace_id, occurred_at);
