ALTER TABLE tenants ALTER COLUMN broadcast_adapter SET DEFAULT 'gen_rpc';
