ALTER TABLE tenants DROP CONSTRAINT IF EXISTS uniq_external_id;
