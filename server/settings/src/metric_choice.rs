//! Which metric is sent to CloudWatch, and which of its labels are dimensions there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A metric by its name, such as `realtime_rooms`, and the labels that stay apart: `realtime_codes_total{code}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(transparent)]
pub struct MetricChoice(String);

impl MetricChoice {
    /// The choice with this text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        is_metric_choice(text).then(|| Self(text.into()))
    }

    /// As the settings have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the metric.
    pub fn name(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }

    /// The labels that are dimensions.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let labels = self.0.split_once('{').map(|(_, labels)| labels.trim_end_matches('}'));
        labels.into_iter().flat_map(|labels| labels.split(','))
    }
}

impl JsonSchema for MetricChoice {
    fn schema_name() -> Cow<'static, str> {
        "MetricChoice".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "metric-choice" })
    }
}

/// Whether a text is a name, or a name with labels in braces.
pub(crate) fn is_metric_choice(text: &str) -> bool {
    let (name, labels) = match text.split_once('{') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix('}') {
            None => return false,
            labels => (name, labels),
        },
    };
    is_word(name) && labels.is_none_or(|labels| labels.split(',').all(is_word))
}

/// Whether Prometheus has metrics and labels of this name.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_name_with_or_without_labels() {
        for (text, name, labels) in [
            ("a_total", "a_total", vec![]),
            ("a_total{code}", "a_total", vec!["code"]),
            ("a{b,c_d}", "a", vec!["b", "c_d"]),
        ] {
            let choice = MetricChoice::new(text).expect("a choice");
            assert_eq!((choice.name(), choice.labels().collect::<Vec<_>>()), (name, labels), "{text}");
        }
        for text in ["", "1a", "a b", "a{}", "a{b", "a{b}c", "a{b, c}", "{b}", "a{b=\"c\"}", "a*"] {
            assert_eq!(MetricChoice::new(text), None, "{text}");
        }
    }
}
