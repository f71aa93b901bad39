//! Joins of supabase-js v1: without `config`, for database changes that the topic names
//! (docs/protocol/channels.md#legacy-joins).

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

/// The largest id that upstream gives to a subscription; some clients read it as a 32-bit integer.
const SUBSCRIPTION_ID_BITS: u64 = 27;

/// The subscription that a topic names: schema, table and filter.
pub(super) fn subscription(sub_topic: &str) -> Value {
    let mut entry = Map::new();
    for (name, part) in ["schema", "table", "filter"].into_iter().zip(sub_topic.splitn(3, ':')) {
        entry.insert(name.into(), part.into());
    }
    let mut hasher = DefaultHasher::new();
    sub_topic.hash(&mut hasher);
    entry.insert("id".into(), (hasher.finish() % (1 << SUBSCRIPTION_ID_BITS)).into());
    entry.into()
}

/// The text for changes that are not available.
pub(super) fn unable_to_subscribe(entry: &Value) -> String {
    let part = |name: &str| entry[name].as_str().unwrap_or("*").to_owned();
    format!(
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
         connect parameters: [event: *, schema: {}, table: {}, filters: [], select: nil]",
        part("schema"),
        part("table"),
    )
}
