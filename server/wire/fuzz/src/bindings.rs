//! Subscriptions to changes of tables.

use serde_json::Value;
use serde_json::value::RawValue;
use wire::supabase::changes::{Binding, FilterOperator, binding_echo, binding_ids};

/// One binding, any JSON object. It is read or refused with a text that is not much longer; the echo is the object with an
/// id.
pub fn binding(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(binding) = RawValue::from_string(text.to_owned()) else { return };
    if !text.trim_start().starts_with('{') {
        return;
    }
    match Binding::parse(&binding) {
        Ok(parsed) => {
            assert!(parsed.to_string().len() < 9 * text.len() + 4000);
            for filter in parsed.filters.iter().filter(|filter| filter.operator == FilterOperator::In) {
                let bytes: usize =
                    filter.elements().into_iter().flatten().flatten().map(|text| text.len()).sum();
                assert!(bytes <= filter.value.len());
            }
        }
        Err(error) => assert!(error.to_string().len() < 9 * text.len() + 4000),
    }
    let id = binding_ids(std::slice::from_ref(&binding))[0];
    assert!(id < 1 << 27);
    let echo = binding_echo(&binding, id);
    serde_json::from_str::<&RawValue>(&echo).expect("JSON");
    if let (Ok(mut sent), Ok(echo)) =
        (serde_json::from_str::<Value>(text), serde_json::from_str::<Value>(&echo))
    {
        sent["id"] = id.into();
        assert_eq!(echo, sent);
    }
}
