//! Whether the metrics and labels exist that the settings name: a misspelt one would be sent to CloudWatch never, and its alarm never
//! fire.

use std::collections::BTreeMap;

use settings::{MetricChoice, Settings, nearest};

use super::reference::{MetricDescription, described};

/// The label of every sample, if the settings have a region.
const REGION: &str = "region";

/// What is wrong with the choices of `telemetry.cloudwatch.metrics`.
///
/// # Errors
/// Each choice that names what does not exist, with what may be meant.
pub fn check(settings: &Settings) -> Result<(), String> {
    let described = described(settings.telemetry.metrics_format);
    let has_region = settings.regions.name.is_some();
    let choices = settings.telemetry.cloudwatch.metrics.iter();
    let wrong: Vec<_> = choices.filter_map(|choice| mistake(choice, &described, has_region)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn mistake(
    choice: &MetricChoice,
    described: &BTreeMap<String, MetricDescription>,
    has_region: bool,
) -> Option<String> {
    let name = choice.name();
    let Some(MetricDescription { labels, .. }) = described.get(name) else {
        let meant = nearest(name, described.keys().map(String::as_str));
        let meant = meant.map_or_else(|| "docs/codes.md lists them all".into(), did_you_mean);
        return Some(format!("there is no metric {name} ({meant})"));
    };
    let exists = |label: &str| labels.iter().any(|known| known == label) || (has_region && label == REGION);
    let label = choice.labels().find(|label| !exists(label))?;
    let meant = nearest(label, labels.iter().map(String::as_str)).map(did_you_mean);
    let meant = meant.unwrap_or_else(|| match &*labels.join(", ") {
        "" => "it has none".into(),
        labels => format!("it has {labels}"),
    });
    Some(format!("{name} has no label {label} ({meant})"))
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean {name}?")
}

#[cfg(test)]
mod tests {
    use settings::MetricsFormat;

    use super::*;

    fn problem(choice: &str, change: impl FnOnce(&mut Settings)) -> Option<String> {
        let mut settings = Settings::default();
        settings.telemetry.cloudwatch.metrics = vec![MetricChoice::new(choice).expect("a choice")];
        change(&mut settings);
        check(&settings).err()
    }

    #[test]
    fn what_does_not_exist_is_named_with_what_may_be_meant() {
        assert_eq!(check(&Settings::default()), Ok(()));
        for (choice, expected) in [
            ("realtime_romms", "there is no metric realtime_romms (did you mean realtime_rooms?)"),
            ("nothing_like_it", "there is no metric nothing_like_it (docs/codes.md lists them all)"),
            ("realtime_rooms{code}", "realtime_rooms has no label code (it has none)"),
            ("realtime_codes_total{cod}", "realtime_codes_total has no label cod (did you mean code?)"),
            ("realtime_codes_total{zone}", "realtime_codes_total has no label zone (it has tenant, code)"),
        ] {
            assert_eq!(problem(choice, |_| {}).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_exists_with_other_settings_only_is_refused_without_them() {
        assert!(problem("realtime_rooms{region}", |_| {}).is_some());
        let in_region = |settings: &mut Settings| settings.regions.name = Some("eu".into());
        assert_eq!(problem("realtime_rooms{region}", in_region), None);
        let beam = "beam_memory_allocated_bytes";
        let supabase = |settings: &mut Settings| {
            settings.telemetry.metrics_format = MetricsFormat::Supabase;
        };
        assert!(problem(beam, |_| {}).is_some());
        assert_eq!(problem(beam, supabase), None);
    }
}
