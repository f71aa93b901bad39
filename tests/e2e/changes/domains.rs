//! Domains of published tables: their checks are functions of the owners of tables, which do not run with the rights of the server.

use serde_json::json;

use super::{Changes, record};

/// A table with domains, whose check refuses all values when the server casts them.
const ITEMS: &str = "
    CREATE FUNCTION public.trusted(value anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('application_name') = 'realtime_connect' THEN
            RAISE 'checked with the rights of %', current_user;
        END IF;
        RETURN true;
    END $$;
    CREATE DOMAIN public.code AS text CHECK (public.trusted(VALUE));
    CREATE DOMAIN public.subcode AS public.code CHECK (public.trusted(VALUE));
    CREATE DOMAIN public.codes AS public.code[] CHECK (public.trusted(VALUE));
    CREATE TYPE public.level AS ENUM ('low', 'high');
    CREATE FUNCTION public.level_json(public.level) RETURNS json LANGUAGE sql IMMUTABLE AS
        'SELECT json_build_object(''level'', $1::text)';
    CREATE CAST (public.level AS json) WITH FUNCTION public.level_json(public.level);
    CREATE DOMAIN public.allowed AS public.level CHECK (public.trusted(VALUE));
    CREATE TABLE public.items (
        id public.subcode PRIMARY KEY, name public.code, tags public.code[], more public.codes, level public.allowed,
        upper text GENERATED ALWAYS AS (upper(name::text)) STORED);
    GRANT SELECT ON public.items TO authenticated;
    ALTER TABLE public.items ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.items FOR SELECT TO authenticated
        USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'ann');
    ALTER PUBLICATION supabase_realtime ADD TABLE public.items";

const FILTERS: [&str; 9] = [
    "id=eq.one",
    "id=gte.one",
    "name=neq.two",
    "name=ilike.O%",
    "name=match.^o",
    "name=in.(one,two)",
    "tags=eq.\"{one,two}\"",
    "more=isdistinct.\"{two}\"",
    "level=lt.high",
];

#[tokio::test]
async fn the_checks_of_domains_do_not_run_when_rows_are_looked_up_or_filters_are_evaluated() {
    let changes = Changes::start().await;
    changes.postgres().sql(ITEMS);
    let mut clients = Vec::new();
    for filter in FILTERS {
        let binding = json!([{"event": "INSERT", "schema": "public", "table": "items", "filter": filter}]);
        clients.push((filter, changes.subscribed("ann", &binding).await));
    }
    for exact in [false, true] {
        changes.world().apply(|settings| settings.changes.exact_visibility = exact);
        changes.postgres().sql(
            "DELETE FROM public.items; INSERT INTO public.items VALUES ('one', 'one', '{one,two}', '{one}', 'low')",
        );
        for (filter, client) in &mut clients {
            let expected = json!({
                "id": "one", "name": "one", "tags": ["one", "two"], "more": ["one"], "level": {"level": "low"}, "upper": "ONE",
            });
            assert_eq!(record(client).await, expected, "{filter}, exact: {exact}");
        }
    }
    changes.rooms.world.stop().await;
}
