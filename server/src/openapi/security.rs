//! Who may use an operation, as the document says it.

use serde_json::{Value, json};

use crate::routes::Access;

/// All security schemes.
pub(super) fn schemes() -> Value {
    let bearer =
        |text| json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": text});
    let key = |place, name, text| json!({"type": "apiKey", "in": place, "name": name, "description": text});
    json!({
        "operatorToken": bearer("A token of operators, signed with `admin.jwt_secret`."),
        "metricsToken": bearer("A token for metrics, needed with `admin.metrics_jwt_secret`."),
        "tenantToken": bearer("A token of a user of the tenant."),
        "apikeyHeader": key("header", "apikey", "A token of a user of the tenant."),
        "gatewayHeader": key("header", "x-api-key", "A token of a user of the tenant, set by gateways."),
        "apikeyQuery": key("query", "apikey", "A token of a user of the tenant, for browsers."),
    })
}

/// The schemes of which a request satisfies one; an empty one is no token.
pub(super) fn requirement(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Operator | Access::Management => json!([{"operatorToken": []}]),
        Access::Metrics => json!([{}, {"metricsToken": []}]),
        Access::WebSocket => json!([{}, {"tenantToken": []}]),
        Access::Tenant => json!([
            {"tenantToken": []},
            {"apikeyHeader": []},
            {"gatewayHeader": []},
            {"apikeyQuery": []},
        ]),
    }
}
