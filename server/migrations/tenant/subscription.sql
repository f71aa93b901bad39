-- Subscriptions to changes of tables: one row for each table that a subscription matches.
CREATE TABLE realtime.subscription (
    id bigint GENERATED ALWAYS AS IDENTITY,
    subscription_id uuid NOT NULL,
    entity regclass NOT NULL,
    filters realtime.user_defined_filter[] NOT NULL DEFAULT '{}',
    claims jsonb NOT NULL,
    claims_role regrole NOT NULL GENERATED ALWAYS AS (realtime.to_regrole(claims ->> 'role')) STORED,
    created_at timestamp without time zone NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    action_filter text DEFAULT '*',
    selected_columns text[],
    CONSTRAINT pk_subscription PRIMARY KEY (id),
    CONSTRAINT subscription_action_filter_check CHECK (action_filter IN ('*', 'INSERT', 'UPDATE', 'DELETE'))
);

CREATE INDEX ix_realtime_subscription_entity ON realtime.subscription (entity);

CREATE UNIQUE INDEX subscription_subscription_id_entity_filters_action_filter_selec
    ON realtime.subscription (subscription_id, entity, filters, action_filter, coalesce(selected_columns, '{}'));

-- Refuses filters and columns that the role of a subscriber may not read, or whose values do not fit, and sorts what is left,
-- so that equal subscriptions are equal rows.
CREATE FUNCTION realtime.subscription_check_filters() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    -- The generated column has no value yet.
    claims_role constant regrole := realtime.to_regrole(new.claims ->> 'role');
    readable constant text[] := array(
        SELECT attname FROM pg_catalog.pg_attribute
        WHERE attrelid = new.entity AND attnum > 0 AND NOT attisdropped
          AND pg_catalog.has_column_privilege(claims_role, attrelid, attnum, 'SELECT'));
    filter realtime.user_defined_filter;
    column_type regtype;
    operator text;
    has_too_many boolean;
    name text;
BEGIN
    FOREACH filter IN ARRAY new.filters LOOP
        IF filter.column_name = ANY (readable) IS NOT TRUE THEN
            RAISE EXCEPTION 'invalid column for filter %', filter.column_name;
        END IF;
        column_type := (SELECT atttypid FROM pg_catalog.pg_attribute
                        WHERE attrelid = new.entity AND attname = filter.column_name AND NOT attisdropped);
        IF column_type IS NULL THEN
            RAISE EXCEPTION 'failed to lookup type for column %', filter.column_name;
        END IF;
        operator := CASE filter.op
            WHEN 'like' THEN '~~' WHEN 'ilike' THEN '~~*' WHEN 'match' THEN '~' WHEN 'imatch' THEN '~*' END;
        IF operator IS NOT NULL THEN
            -- Tried, because a type without an operator of its own may have that of a type it is converted to.
            BEGIN
                EXECUTE pg_catalog.format('SELECT NULL::%1$s OPERATOR(pg_catalog.%2$s) NULL::%1$s', column_type, operator);
            EXCEPTION
                WHEN undefined_function OR ambiguous_function THEN
                    RAISE EXCEPTION 'operator % requires a text-compatible column type, got %', filter.op, column_type;
            END;
        END IF;
        CASE
            WHEN filter.op = 'is' THEN
                IF filter.value IN ('null', 'true', 'false', 'unknown') IS NOT TRUE THEN
                    RAISE EXCEPTION 'invalid value for is filter: must be null, true, false, or unknown';
                ELSIF filter.value <> 'null' AND column_type <> 'boolean'::regtype THEN
                    RAISE EXCEPTION 'is % filter requires a boolean column, got %', filter.value, column_type;
                END IF;
            WHEN filter.op = 'in' THEN
                EXECUTE pg_catalog.format('SELECT pg_catalog.cardinality(%L::%s[]) > 100', filter.value, column_type)
                INTO has_too_many;
                IF has_too_many THEN
                    RAISE EXCEPTION 'too many values for `in` filter. Maximum 100';
                END IF;
            WHEN filter.op IN ('match', 'imatch') THEN
                BEGIN
                    PERFORM '' ~ filter.value;
                EXCEPTION
                    WHEN invalid_regular_expression THEN
                        RAISE EXCEPTION 'invalid regular expression for match filter: %', SQLERRM;
                END;
            WHEN filter.op NOT IN ('like', 'ilike') THEN
                PERFORM realtime."cast"(filter.value, column_type);
            ELSE NULL;
        END CASE;
    END LOOP;

    FOREACH name IN ARRAY coalesce(new.selected_columns, '{}') LOOP
        IF name = ANY (readable) IS NOT TRUE THEN
            RAISE EXCEPTION 'invalid column for select %', name;
        END IF;
    END LOOP;

    new.filters := array(
        SELECT f FROM pg_catalog.unnest(new.filters) AS f ORDER BY f.column_name, f.op, f.value, f.negate);
    IF new.selected_columns IS NOT NULL THEN
        new.selected_columns := array(SELECT c FROM pg_catalog.unnest(new.selected_columns) AS c ORDER BY c);
    END IF;
    RETURN new;
END
$$;

CREATE TRIGGER tr_check_filters BEFORE INSERT OR UPDATE ON realtime.subscription
    FOR EACH ROW EXECUTE FUNCTION realtime.subscription_check_filters();
