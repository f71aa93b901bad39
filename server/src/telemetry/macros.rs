//! `metrics!`: a struct of metric handles, where the doc comment of a field is its help text.

/// Declares a struct whose fields are metric handles, and how to register them with a recorder.
///
/// Handles are made once and kept: an increment is then one atomic addition, without a look-up by name.
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( #[doc = $help:literal] pub $field:ident: $kind:ident = $metric:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $( #[doc = $help] pub $field: ::metrics::$kind, )*
        }

        impl $name {
            /// Makes the handles, each with `labels`.
            pub fn register(recorder: &impl ::metrics::Recorder, labels: &[::metrics::Label]) -> Self {
                Self { $( $field: metrics!(@ $kind, recorder, $metric, $help, labels), )* }
            }
        }
    };
    (@ $kind:ident, $recorder:ident, $metric:literal, $help:literal, $labels:ident) => {{
        let key = ::metrics::Key::from_parts($metric, $labels.to_vec());
        let metadata = ::metrics::Metadata::new(module_path!(), ::metrics::Level::INFO, None);
        let help = ::metrics::SharedString::const_str($help.trim_ascii());
        metrics!(@register $kind, $recorder, key, metadata, help)
    }};
    (@register Counter, $recorder:ident, $key:ident, $metadata:ident, $help:ident) => {{
        $recorder.describe_counter($key.name().to_owned().into(), None, $help);
        $recorder.register_counter(&$key, &$metadata)
    }};
    (@register Gauge, $recorder:ident, $key:ident, $metadata:ident, $help:ident) => {{
        $recorder.describe_gauge($key.name().to_owned().into(), None, $help);
        $recorder.register_gauge(&$key, &$metadata)
    }};
    (@register Histogram, $recorder:ident, $key:ident, $metadata:ident, $help:ident) => {{
        $recorder.describe_histogram($key.name().to_owned().into(), None, $help);
        $recorder.register_histogram(&$key, &$metadata)
    }};
}
