//! The exporter that Prometheus scrapes: its text page.
//!
//! Written here and not taken from a crate, because series go when their tenant is idle, and their values must not: a crate that
//! forgets idle series begins them at zero again, or never, where handles are kept. A series is a number that its handles change,
//! and a page is written from these numbers in a fraction of a microsecond a line.

mod buckets;
mod family;
mod registry;
mod sampled;
mod series;
mod shown_tenants;

use std::sync::Arc;
use std::time::Instant;

use metrics::Label;
use settings::MetricsFormat;

use self::registry::SeriesRegistry;
pub use self::sampled::{SampledSeries, SampledValue, TENANT};
use self::series::Selection;
use super::fan_out::Exporter;

/// The end of a page. A comment to Prometheus; to whatever scrapes upstream, the sign that the page is complete
/// (docs/protocol/http.md#metrics-endpoint).
pub const END: &str = "# EOF\n";

/// The page of one server. Not installed globally: two servers in one process, as in tests, have separate metrics.
pub struct Prometheus {
    registry: Arc<SeriesRegistry>,
}

impl Prometheus {
    /// An empty page. Every metric carries the label `region`, if this node is in one.
    pub fn new(region: Option<&str>, format: MetricsFormat) -> Self {
        let labels = region.map(|region| Label::new("region", region.to_owned())).into_iter().collect();
        Self { registry: Arc::new(SeriesRegistry::new(labels, format)) }
    }

    /// What metrics are registered with.
    pub fn exporter(&self) -> Exporter {
        Arc::clone(&self.registry) as Exporter
    }

    /// Shows the series of at most so many tenants (`telemetry.tenant_metrics`).
    pub fn show_tenants(&self, max: usize) {
        self.registry.tenants.lock().set_max(max);
    }

    /// Tenants whose series are left out only because those of so many others are shown.
    pub fn unshown_tenants(&self) -> usize {
        self.registry.tenants.lock().unshown()
    }

    /// Looks which tenants are idle, and forgets those that are gone.
    pub fn run_upkeep(&self) {
        self.registry.look_at_tenants(Instant::now());
    }

    /// The page, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.run_upkeep();
        self.page_of(Selection::All)
    }

    /// The same in two pages: the series of no tenant, and those of tenants.
    pub fn render_apart(&self) -> [String; 2] {
        self.run_upkeep();
        [Selection::OfNoTenant, Selection::OfTenants].map(|selection| self.page_of(selection))
    }

    /// Calls `visit` with each series of the metrics that are wanted, also of tenants that are not shown.
    pub fn visit(&self, is_wanted: impl Fn(&str) -> bool, mut visit: impl FnMut(SampledSeries<'_>)) {
        self.registry.visit(&is_wanted, &mut visit);
    }

    /// The present value of a counter or gauge, of all its series together, without its fraction.
    pub fn number(&self, name: &str) -> u64 {
        let mut sum = 0.0;
        self.visit(
            |found| found == name,
            |series| {
                if let SampledValue::Counter(value) | SampledValue::Gauge(value) = series.value {
                    sum += value;
                }
            },
        );
        sum as u64
    }

    fn page_of(&self, selection: Selection) -> String {
        let mut page = String::new();
        self.registry.write(selection, &mut page);
        page.push_str(END);
        page
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use metrics::{Key, Level, Metadata};

    use super::*;

    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

    /// The key of a metric of a tenant.
    fn of_tenant(name: &'static str, tenant: &'static str) -> Key {
        Key::from_parts(name, vec![Label::new("tenant", tenant)])
    }

    #[test]
    fn a_page_has_types_help_labels_and_buckets_as_the_format_specifies_them() {
        let page = Prometheus::new(Some("eu"), MetricsFormat::Prometheus);
        let exporter = page.exporter();
        exporter.describe_counter("a_total".into(), None, "Two\nlines \\.".into());
        let counter = exporter.register_counter(&of_tenant("a_total", "a\"b\\c\nd"), &METADATA);
        counter.increment(7);
        exporter.register_gauge(&"b".into(), &METADATA).set(0.5);
        let sizes = exporter.register_histogram(&of_tenant("realtime_tenants_replay", "acme"), &METADATA);
        [10.0, 11.0, 1e6].into_iter().for_each(|value| sizes.record(value));
        let expected = "\
# HELP a_total Two\\nlines \\\\.
# TYPE a_total counter
a_total{region=\"eu\",tenant=\"a\\\"b\\\\c\\nd\"} 7

# TYPE b gauge
b{region=\"eu\"} 0.5

# TYPE realtime_tenants_replay histogram
realtime_tenants_replay_bucket{region=\"eu\",tenant=\"acme\",le=\"10\"} 1
realtime_tenants_replay_bucket{region=\"eu\",tenant=\"acme\",le=\"250\"} 2
realtime_tenants_replay_bucket{region=\"eu\",tenant=\"acme\",le=\"5000\"} 2
realtime_tenants_replay_bucket{region=\"eu\",tenant=\"acme\",le=\"15000\"} 2
realtime_tenants_replay_bucket{region=\"eu\",tenant=\"acme\",le=\"+Inf\"} 3
realtime_tenants_replay_sum{region=\"eu\",tenant=\"acme\"} 1000021
realtime_tenants_replay_count{region=\"eu\",tenant=\"acme\"} 3

# EOF
";
        assert_eq!(page.render(), expected);
    }

    #[test]
    fn upstreams_dashboards_find_bounds_as_upstream_writes_them() {
        let page = Prometheus::new(None, MetricsFormat::Supabase);
        page.exporter().register_histogram(&"realtime_tenants_replay".into(), &METADATA).record(1.0);
        assert!(page.render().contains("_bucket{le=\"15000.0\"} 1\n"), "{}", page.render());
    }

    #[test]
    fn a_tenant_whose_series_were_left_out_continues_them() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        let counter = page.exporter().register_counter(&of_tenant("a_total", "acme"), &METADATA);
        counter.increment(3);
        assert!(page.render().contains("a_total{tenant=\"acme\"} 3\n"));
        page.registry.look_at_tenants(Instant::now() + shown_tenants::IDLE_MAX);
        let mut left_out = String::new();
        page.registry.write(Selection::All, &mut left_out);
        assert_eq!(left_out, "");
        counter.increment(1);
        assert!(page.render().contains("a_total{tenant=\"acme\"} 4\n"));
    }

    #[test]
    fn series_go_with_the_last_handle_of_their_tenant() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        let exporter = page.exporter();
        let counter = exporter.register_counter(&of_tenant("a_total", "acme"), &METADATA);
        let clone = counter.clone();
        exporter.register_counter(&"b_total".into(), &METADATA).increment(2);
        drop(counter);
        clone.increment(1);
        assert!(page.render().contains("a_total{tenant=\"acme\"} 1\n"));
        drop(clone);
        assert_eq!(page.render(), "# TYPE b_total counter\nb_total 2\n\n# EOF\n");
    }

    #[test]
    fn the_series_of_tenants_have_a_page_of_their_own_where_a_metric_has_both() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        let exporter = page.exporter();
        let handles =
            ["nil", "acme"].map(|tenant| exporter.register_counter(&of_tenant("a_total", tenant), &METADATA));
        exporter.register_counter(&"b_total".into(), &METADATA).increment(1);
        let [of_node, of_tenants] = page.render_apart();
        assert_eq!(
            of_node,
            "# TYPE a_total counter\na_total{tenant=\"nil\"} 0\n\n# TYPE b_total counter\nb_total 1\n\n# EOF\n"
        );
        assert_eq!(of_tenants, "# TYPE a_total counter\na_total{tenant=\"acme\"} 0\n\n# EOF\n");
        drop(handles);
    }

    // Those that are shown were hidden for a moment each time it was looked who is, so that a page could lack them.
    #[test]
    fn tenants_stay_on_a_page_that_is_written_while_it_is_looked_who_is_shown() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        let names = ["a", "b", "c", "d"];
        let handles =
            names.map(|tenant| page.exporter().register_counter(&of_tenant("a_total", tenant), &METADATA));
        let is_written = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_written.load(Ordering::Relaxed) {
                    page.run_upkeep();
                }
            });
            let counts = (0..5_000).map(|_| page.page_of(Selection::OfTenants).matches("a_total{").count());
            let fewest = counts.min();
            is_written.store(true, Ordering::Relaxed);
            assert_eq!(fewest, Some(names.len()));
        });
        drop(handles);
    }

    #[test]
    fn no_more_tenants_have_series_than_the_settings_allow() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        page.show_tenants(1);
        let handles = ["one", "two"]
            .map(|tenant| page.exporter().register_counter(&of_tenant("a_total", tenant), &METADATA));
        let text = page.render();
        assert!(text.contains("\"one\"") && !text.contains("\"two\""), "{text}");
        assert_eq!(page.unshown_tenants(), 1);
        page.show_tenants(2);
        assert!(page.render().contains("\"two\""));
        drop(handles);
    }
}
