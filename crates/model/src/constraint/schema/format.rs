//! The values of `format` that can be enforced, as patterns that are no wider than their standards.

/// The pattern of a format.
pub(super) fn pattern(format: &str) -> Option<&'static str> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, pattern)| *pattern)
}

macro_rules! date {
    () => {
        // Months of 31 days, of 30, February, and its last day in leap years.
        concat!(
            r"(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)",
            r"|02-(0[1-9]|1\d|2[0-8]))",
            r"|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
        )
    };
}

macro_rules! time {
    () => {
        r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
    };
}

macro_rules! host {
    () => {
        r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)"
    };
}

const FORMATS: &[(&str, &str)] = &[
    // RFC 3339
    ("date", concat!("^", date!(), "$")),
    ("time", concat!("^", time!(), "$")),
    ("date-time", concat!("^", date!(), "T", time!(), "$")),
    // RFC 5321, dot-atoms only
    ("email", concat!(r"^[a-zA-Z0-9_+-]{1,32}(\.[a-zA-Z0-9_+-]{1,16}){0,1}@", host!(), "{1,2}$")),
    // RFC 1123
    ("hostname", concat!("^", host!(), "{0,2}$")),
    // RFC 2673
    ("ipv4", r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$"),
    // RFC 4122
    ("uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    // RFC 3986, of the web
    (
        "uri",
        concat!(
            r"^https?://",
            host!(),
            r"{1,2}(:[1-9]\d{0,3})?(/[a-zA-Z0-9._~-]*)*(\?[a-zA-Z0-9._~=&-]*)?$"
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::super::super::pattern::Pattern;
    use super::*;

    #[test]
    fn formats_accept_their_own_and_nothing_else() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date",
                &["2024-02-29", "2000-02-29", "2023-12-31"],
                &["2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "2023-1-1"],
            ),
            ("time", &["23:59:59Z", "00:00:00.5+05:30"], &["24:00:00Z", "10:00:00"]),
            ("date-time", &["2024-02-29T10:00:00Z"], &["2024-02-29", "2024-02-30T10:00:00Z"]),
            ("email", &["a.b+c@example.com"], &["a@b", "@example.com", "a..b@example.com"]),
            ("hostname", &["localhost", "www.example.com"], &["-a.com", "a..b"]),
            ("ipv4", &["0.0.0.0", "255.255.255.255"], &["256.1.1.1", "1.1.1", "01.1.1.1"]),
            (
                "uuid",
                &["123e4567-e89b-12d3-a456-426614174000"],
                &["123e4567e89b12d3a456426614174000"],
            ),
            (
                "uri",
                &["https://example.com/a/b?x=1", "http://a.b:80"],
                &["example.com", "https://"],
            ),
        ];
        for (name, valid, invalid) in cases {
            let parsed = Pattern::parse(pattern(name).unwrap()).unwrap();
            for text in *valid {
                assert!(parsed.matches(text), "{text} is a {name}");
            }
            for text in *invalid {
                assert!(!parsed.matches(text), "{text} is no {name}");
            }
        }
        assert_eq!(cases.len(), FORMATS.len());
        assert!(pattern("color").is_none());
    }
}
