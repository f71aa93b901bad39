CREATE TABLE IF NOT EXISTS documents (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  room_id TEXT NOT NULL,
  doc_id TEXT NOT NULL,
  state BYTEA NOT NULL,
  updated_at TIMESTAMPTZ DEFAULT now(),
  created_at TIMESTAMPTZ DEFAULT now(),
  UNIQUE(room_id, doc_id)
);

-- A table that was made by hand is adopted if it can be used as this one. Columns may be added to it, if a row may be inserted
-- without them. Its index may be missing, and is not made again by who may not.
DO $$
DECLARE
    differing text;
BEGIN
    SELECT string_agg(coalesce(expected.name, found.name), ', ' ORDER BY coalesce(expected.name, found.name))
    INTO differing
    FROM (VALUES
        ('id', 'uuid', true, true),
        ('room_id', 'text', true, false),
        ('doc_id', 'text', true, false),
        ('state', 'bytea', true, false),
        ('updated_at', 'timestamp with time zone', false, true),
        ('created_at', 'timestamp with time zone', false, true)
    ) AS expected (name, type, is_required, has_default)
    FULL JOIN (
        SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, atthasdef
        FROM pg_attribute WHERE attrelid = 'documents'::regclass AND attnum > 0 AND NOT attisdropped
    ) AS found (name, type, is_required, has_default) ON found.name = expected.name
    WHERE CASE WHEN expected.name IS NULL THEN found.is_required AND NOT found.has_default
          ELSE (expected.type, expected.is_required, expected.has_default)
              IS DISTINCT FROM (found.type, found.is_required, found.has_default) END;

    IF differing IS NULL AND NOT EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = 'documents'::regclass AND indisunique AND indpred IS NULL AND indexprs IS NULL
        AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
             WHERE attrelid = indrelid AND attnum = ANY (indkey)) = '{doc_id,room_id}'
    ) THEN
        differing := 'UNIQUE(room_id, doc_id)';
    END IF;
    IF differing IS NOT NULL THEN
        RAISE EXCEPTION 'there is another table "documents" in the schema "%", which differs in: %',
            current_schema(), differing;
    END IF;

    IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 'documents'::regclass
                   AND indexrelid = to_regclass('idx_documents_room_doc')) THEN
        CREATE INDEX idx_documents_room_doc ON documents(room_id, doc_id);
    END IF;
END
$$;
