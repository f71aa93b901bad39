-- The schema, the record of its versions, and its types.
DO $$
BEGIN
    -- `IF NOT EXISTS` would need the permission to create one, also where it exists.
    IF to_regnamespace('realtime') IS NULL THEN
        CREATE SCHEMA realtime;
    END IF;
END
$$;

-- Upstream's tool makes it before its first migration, which may have failed.
CREATE TABLE IF NOT EXISTS realtime.schema_migrations (
    version bigint PRIMARY KEY,
    inserted_at timestamp(0)
);

CREATE TYPE realtime.action AS ENUM ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');

CREATE TYPE realtime.equality_op AS ENUM (
    'eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in', 'like', 'ilike', 'is', 'match', 'imatch', 'isdistinct'
);

-- One condition of a subscription.
CREATE TYPE realtime.user_defined_filter AS (
    column_name text,
    op realtime.equality_op,
    value text,
    negate boolean
);

-- One column of a changed row.
CREATE TYPE realtime.wal_column AS (
    name text,
    type_name text,
    type_oid oid,
    value jsonb,
    is_pkey boolean,
    is_selectable boolean
);

-- One change, as a group of subscribers may see it.
CREATE TYPE realtime.wal_rls AS (
    wal jsonb,
    is_rls_enabled boolean,
    subscription_ids uuid[],
    errors text[]
);
