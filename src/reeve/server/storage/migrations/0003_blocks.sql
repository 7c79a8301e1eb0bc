-- What a block document holds is sealed (docs/decisions/0006-blocks.md): data is the sealed text as a JSON string,
-- and key_id says with which key.
alter table block_documents add column key_id text not null default '';

create index block_documents_by_key on block_documents (key_id, id);

create index block_documents_by_schema on block_documents (block_schema_id);

create index block_schemas_by_type on block_schemas (block_type_id);
