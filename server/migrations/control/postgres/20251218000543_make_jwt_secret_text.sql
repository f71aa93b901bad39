ALTER TABLE tenants ALTER COLUMN jwt_secret TYPE text;
