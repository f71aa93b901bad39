//! The optional functions that Supabase's policies call.

use crate::prepared;

const SCRIPT: &str = include_str!("../../migrations/tenant/auth_helpers.sql");

#[tokio::test]
async fn they_read_the_claims_of_the_request_in_both_forms() {
    let postgres = prepared().await;
    postgres.sql(SCRIPT);
    let call = |settings: &[(&str, &str)]| {
        let settings: String =
            settings.iter().map(|(name, value)| format!("SET {name} TO '{value}';")).collect();
        postgres.sql(&format!(
            "SET ROLE authenticated; {settings} SELECT auth.uid(), auth.role(), auth.email(), auth.jwt()"
        ))
    };
    assert_eq!(call(&[]), "|||");
    assert_eq!(call(&[("request.jwt.claims", ""), ("request.jwt.claim.sub", "")]), "|||");
    let id = "5f0c8f6e-4f0a-4f9b-9c1c-2c1a5a0e6f11";
    let claims = format!(r#"{{"sub": "{id}", "role": "authenticated", "email": "a@b.c"}}"#);
    let as_json = postgres.sql(&format!("SELECT '{claims}'::jsonb"));
    assert_eq!(call(&[("request.jwt.claims", &claims)]), format!("{id}|authenticated|a@b.c|{as_json}"));
    let each = [
        ("request.jwt.claim.sub", id),
        ("request.jwt.claim.role", "anon"),
        ("request.jwt.claim.email", "a@b.c"),
    ];
    assert_eq!(call(&each), format!("{id}|anon|a@b.c|"));
}

#[tokio::test]
async fn those_that_exist_stay() {
    let postgres = prepared().await;
    postgres.sql(
        "CREATE SCHEMA auth; CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS
         'SELECT ''00000000-0000-0000-0000-000000000001''::uuid'",
    );
    postgres.sql(SCRIPT);
    postgres.sql(SCRIPT);
    assert_eq!(
        postgres.sql("SET ROLE anon; SELECT auth.uid(), auth.role()"),
        "00000000-0000-0000-0000-000000000001|"
    );
}
