//! `[regions]`: the region of this node, and which nodes serve a tenant's region.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The region of this node, and which nodes serve a tenant's region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Regions {
    /// Region of this node, such as `eu-west-2`: a label of every metric, a field of every log line, and in
    /// `/status`.
    #[schemars(extend("x-reload" = "restart"))]
    pub name: Option<String>,

    /// Name of the cluster this node belongs to, a field of every log line.
    #[schemars(extend("x-reload" = "restart"))]
    pub cluster: Option<String>,

    /// Region of a tenant → region of the nodes that serve it best. Setting it replaces the whole table.
    #[schemars(extend("x-reload" = "live", "x-merge" = "replace"))]
    pub mapping: BTreeMap<String, String>,
}

/// Tenant regions by node region, as Supabase Realtime has them (docs/protocol/operations.md#regions).
const NEAREST: [(&str, &[&str]); 5] = [
    ("ap-southeast-1", &["ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1"]),
    ("ap-southeast-2", &["ap-southeast-2"]),
    ("eu-west-2", &["eu-central-1", "eu-central-2", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"]),
    ("us-east-1", &["ca-central-1", "sa-east-1", "us-east-1", "us-east-2"]),
    ("us-west-1", &["us-west-1", "us-west-2"]),
];

impl Default for Regions {
    fn default() -> Self {
        let pairs = NEAREST.iter().flat_map(|(node, tenants)| {
            tenants.iter().map(|tenant| ((*tenant).to_owned(), (*node).to_owned()))
        });
        Self { name: None, cluster: None, mapping: pairs.collect() }
    }
}
