UPDATE extensions
SET settings = settings - 'poll_interval' || jsonb_build_object('poll_interval_ms', settings -> 'poll_interval')
WHERE settings ? 'poll_interval';
