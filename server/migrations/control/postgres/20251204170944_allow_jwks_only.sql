ALTER TABLE tenants ALTER COLUMN jwt_secret DROP NOT NULL;
ALTER TABLE tenants DROP CONSTRAINT IF EXISTS jwt_secret_or_jwt_jwks_required;
ALTER TABLE tenants ADD CONSTRAINT jwt_secret_or_jwt_jwks_required
    CHECK (jwt_secret IS NOT NULL OR jwt_jwks IS NOT NULL);
