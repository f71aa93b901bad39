-- States of documents of other tenants, and the log of the updates that no state contains yet, of all tenants: '' is the default tenant.
CREATE TABLE IF NOT EXISTS tenant_documents (
  tenant TEXT NOT NULL,
  room_id TEXT NOT NULL,
  doc_id TEXT NOT NULL,
  state BYTEA NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, room_id, doc_id)
);
CREATE TABLE IF NOT EXISTS document_updates (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  tenant TEXT NOT NULL,
  room_id TEXT NOT NULL,
  doc_id TEXT NOT NULL,
  update BYTEA NOT NULL,
  user_id TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  -- It serves the load of a document and its compaction, and is the only index, because each update is written to each index.
  PRIMARY KEY (tenant, room_id, doc_id, id)
);

-- Tables of these names that were there before are used if they can be, as `documents` is.
DO $$
DECLARE
    checked record;
    differing text;
BEGIN
    FOR checked IN SELECT * FROM (VALUES
        ('tenant_documents', '{doc_id,room_id,tenant}'::text[], 'PRIMARY KEY (tenant, room_id, doc_id)'),
        ('document_updates', '{doc_id,id,room_id,tenant}', 'PRIMARY KEY (tenant, room_id, doc_id, id)')
    ) AS tables (name, key, definition) LOOP
        SELECT string_agg(coalesce(expected.name, found.name), ', ' ORDER BY coalesce(expected.name, found.name))
        INTO differing
        FROM (SELECT name, type, is_required, has_default FROM (VALUES
            ('tenant_documents', 'tenant', 'text', true, false),
            ('tenant_documents', 'room_id', 'text', true, false),
            ('tenant_documents', 'doc_id', 'text', true, false),
            ('tenant_documents', 'state', 'bytea', true, false),
            ('tenant_documents', 'updated_at', 'timestamp with time zone', true, true),
            ('tenant_documents', 'created_at', 'timestamp with time zone', true, true),
            ('document_updates', 'id', 'bigint', true, true),
            ('document_updates', 'tenant', 'text', true, false),
            ('document_updates', 'room_id', 'text', true, false),
            ('document_updates', 'doc_id', 'text', true, false),
            ('document_updates', 'update', 'bytea', true, false),
            ('document_updates', 'user_id', 'text', false, false),
            ('document_updates', 'created_at', 'timestamp with time zone', true, true)
        ) AS columns (of, name, type, is_required, has_default) WHERE of = checked.name) AS expected
        FULL JOIN (
            SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, atthasdef OR attidentity <> ''
            FROM pg_attribute WHERE attrelid = checked.name::regclass AND attnum > 0 AND NOT attisdropped
        ) AS found (name, type, is_required, has_default) ON found.name = expected.name
        WHERE CASE WHEN expected.name IS NULL THEN found.is_required AND NOT found.has_default
              ELSE (expected.type, expected.is_required, expected.has_default)
                  IS DISTINCT FROM (found.type, found.is_required, found.has_default) END;

        IF differing IS NULL AND NOT EXISTS (
            SELECT FROM pg_index
            WHERE indrelid = checked.name::regclass AND indisunique AND indpred IS NULL AND indexprs IS NULL
            AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
                 WHERE attrelid = indrelid AND attnum = ANY (indkey)) = checked.key
        ) THEN
            differing := checked.definition;
        END IF;
        IF differing IS NOT NULL THEN
            RAISE EXCEPTION 'there is another table "%" in the schema "%", which differs in: %',
                checked.name, current_schema(), differing;
        END IF;
    END LOOP;
END
$$;
