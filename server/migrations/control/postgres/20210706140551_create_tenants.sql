CREATE TABLE IF NOT EXISTS tenants (
    id uuid PRIMARY KEY,
    name varchar(255),
    external_id varchar(255),
    jwt_secret varchar(500),
    max_concurrent_users integer DEFAULT 10000,
    inserted_at timestamp(0) NOT NULL,
    updated_at timestamp(0) NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS tenants_external_id_index ON tenants (external_id);
