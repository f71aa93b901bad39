CREATE TABLE tenants (
    external_id TEXT PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    name TEXT,
    jwt_secret TEXT,
    jwt_jwks TEXT,
    postgres_cdc_default TEXT DEFAULT 'postgres_cdc_rls',
    max_concurrent_users INTEGER NOT NULL DEFAULT 200,
    max_events_per_second INTEGER NOT NULL DEFAULT 100,
    max_presence_events_per_second INTEGER DEFAULT 1000,
    max_payload_size_in_kb INTEGER DEFAULT 3000,
    max_bytes_per_second INTEGER NOT NULL DEFAULT 100000,
    max_channels_per_client INTEGER NOT NULL DEFAULT 100,
    max_joins_per_second INTEGER NOT NULL DEFAULT 500,
    max_client_presence_events_per_window INTEGER,
    client_presence_window_ms INTEGER,
    suspend INTEGER DEFAULT 0,
    private_only INTEGER NOT NULL DEFAULT 0,
    presence_enabled INTEGER NOT NULL DEFAULT 0,
    migrations_ran INTEGER DEFAULT 0,
    broadcast_adapter TEXT DEFAULT 'gen_rpc',
    feature_flags TEXT NOT NULL DEFAULT '{}',
    inserted_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    -- One more with each write.
    revision INTEGER NOT NULL DEFAULT 1,
    CONSTRAINT jwt_secret_or_jwt_jwks_required CHECK (jwt_secret IS NOT NULL OR jwt_jwks IS NOT NULL)
) STRICT;
CREATE TABLE extensions (
    tenant_external_id TEXT NOT NULL REFERENCES tenants (external_id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    settings TEXT NOT NULL,
    inserted_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant_external_id, type)
) STRICT;
