ALTER TABLE tenants ADD COLUMN IF NOT EXISTS jwt_jwks jsonb;
