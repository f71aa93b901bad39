ALTER TABLE tenants ALTER COLUMN max_presence_events_per_second SET DEFAULT 1000;
