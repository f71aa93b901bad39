CREATE TABLE IF NOT EXISTS extensions (
    id uuid PRIMARY KEY,
    type varchar(255),
    settings jsonb,
    tenant_external_id varchar(255)
        CONSTRAINT extensions_tenant_external_id_fkey REFERENCES tenants (external_id) ON DELETE CASCADE,
    inserted_at timestamp(0) NOT NULL,
    updated_at timestamp(0) NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS extensions_tenant_external_id_type_index
    ON extensions (tenant_external_id, type);
