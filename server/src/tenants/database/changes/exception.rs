//! Errors of PostgreSQL as clients of upstream read them: `ERROR 22P02 (invalid_text_representation) message`.

/// The names of the errors that a subscription can cause (`errcodes.txt`). Others are shown without one.
const NAMES: [(&str, &str); 23] = [
    ("22000", "data_exception"),
    ("22001", "string_data_right_truncation"),
    ("22003", "numeric_value_out_of_range"),
    ("22007", "invalid_datetime_format"),
    ("22008", "datetime_field_overflow"),
    ("22009", "invalid_time_zone_displacement_value"),
    ("22021", "character_not_in_repertoire"),
    ("22023", "invalid_parameter_value"),
    ("22026", "string_data_length_mismatch"),
    ("2202E", "array_subscript_error"),
    ("22P02", "invalid_text_representation"),
    ("22P03", "invalid_binary_representation"),
    ("2200N", "invalid_xml_content"),
    ("23502", "not_null_violation"),
    ("23514", "check_violation"),
    ("42501", "insufficient_privilege"),
    ("42601", "syntax_error"),
    ("42704", "undefined_object"),
    ("42804", "datatype_mismatch"),
    ("42883", "undefined_function"),
    ("54000", "program_limit_exceeded"),
    ("57014", "query_canceled"),
    ("P0001", "raise_exception"),
];

/// The text of an error with this SQLSTATE.
pub(super) fn text(state: &str, message: &str) -> String {
    match NAMES.iter().find(|(known, _)| *known == state) {
        Some((_, name)) => format!("ERROR {state} ({name}) {message}"),
        None => format!("ERROR {state} {message}"),
    }
}
