ALTER TABLE tenants DROP CONSTRAINT IF EXISTS uniq_external_id;
ALTER TABLE tenants ADD CONSTRAINT uniq_external_id UNIQUE (external_id);
