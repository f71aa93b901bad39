UPDATE tenants SET max_events_per_second = 1000 WHERE max_events_per_second IS NULL;
ALTER TABLE tenants
    ALTER COLUMN max_events_per_second SET NOT NULL,
    ALTER COLUMN max_events_per_second SET DEFAULT 1000;
