//! Text, numbers, addresses, times.

use super::Group;

pub(super) const GROUPS: [Group; 5] = [
    (
        "text",
        &[
            ("WORD", r"\b\w+\b"),
            ("NOTSPACE", r"\S+"),
            ("SPACE", r"\s*"),
            ("DATA", r"(?s:.*?)"),
            ("GREEDYDATA", r"(?s:.*)"),
            (
                "QUOTEDSTRING",
                r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`"#,
            ),
            ("QS", "%{QUOTEDSTRING}"),
            ("USERNAME", r"[A-Za-z0-9._-]+"),
            ("USER", "%{USERNAME}"),
            (
                "UUID",
                r"[[:xdigit:]]{8}-(?:[[:xdigit:]]{4}-){3}[[:xdigit:]]{12}",
            ),
            (
                "LOGLEVEL",
                r"(?i:trace|debug|info(?:rmation)?|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|alert|fatal|severe|emerg(?:ency)?|panic)",
            ),
            // RFC 8141, section 2, with the characters that RFC 2141 reserved.
            (
                "URN",
                r"(?i:urn):[A-Za-z0-9][A-Za-z0-9-]{0,31}:(?:[A-Za-z0-9()+,.:=@;$_!*'/?#~&-]|%[[:xdigit:]]{2})+",
            ),
        ],
    ),
    (
        "numbers",
        &[
            ("INT", r"[+-]?\d+"),
            ("POSINT", r"\b[1-9]\d*\b"),
            ("NONNEGINT", r"\b\d+\b"),
            ("BASE10NUM", r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"),
            ("NUMBER", "%{BASE10NUM}"),
            ("BASE16NUM", r"[+-]?(?:0[xX])?[[:xdigit:]]+"),
            (
                "BASE16FLOAT",
                r"[+-]?(?:0[xX])?(?:[[:xdigit:]]+(?:\.[[:xdigit:]]*)?|\.[[:xdigit:]]+)",
            ),
        ],
    ),
    (
        "addresses",
        &[
            // Addresses have boundaries, of ASCII, which is faster: part of a longer one is another.
            (
                "COMMONMAC",
                r"(?-u:\b)[[:xdigit:]]{2}(?::[[:xdigit:]]{2}){5}(?-u:\b)",
            ),
            (
                "WINDOWSMAC",
                r"(?-u:\b)[[:xdigit:]]{2}(?:-[[:xdigit:]]{2}){5}(?-u:\b)",
            ),
            (
                "CISCOMAC",
                r"(?-u:\b)[[:xdigit:]]{4}(?:\.[[:xdigit:]]{4}){2}(?-u:\b)",
            ),
            ("MAC", "(?:%{COMMONMAC}|%{WINDOWSMAC}|%{CISCOMAC})"),
            (
                "IPV4",
                r"(?-u:\b)(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|\d\d?)(?-u:\b)",
            ),
            ("HEXTET", r"[[:xdigit:]]{1,4}"),
            // RFC 3986, section 3.2.2, longest form first; with the zone of RFC 4007.
            (
                "IPV6",
                r"(?-u:\b{start-half})(?:(?:%{HEXTET}:){6}%{LS32}|(?:%{HEXTET}:){1,5}(?::%{HEXTET}){0,4}:%{IPV4}|(?:%{HEXTET}:){1,7}(?::%{HEXTET}){1,6}|(?:%{HEXTET}:){1,7}:|::(?:%{HEXTET}:){0,5}%{LS32}|::%{HEXTET}|::)(?:%25[\w.-]+|%[\w.-]+)?(?-u:\b{end-half})",
            ),
            ("LS32", r"(?:%{HEXTET}:%{HEXTET}|%{IPV4})"),
            ("IP", "(?:%{IPV6}|%{IPV4})"),
            (
                "HOSTNAME",
                r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?",
            ),
            ("IPORHOST", "(?:%{IP}|%{HOSTNAME})"),
            ("HOST", "%{HOSTNAME}"),
            ("HOSTPORT", "%{IPORHOST}:%{POSINT}"),
            ("EMAILLOCALPART", r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}"),
            ("EMAILADDRESS", "%{EMAILLOCALPART}@%{HOSTNAME}"),
        ],
    ),
    (
        "paths",
        &[
            ("UNIXPATH", r"(?:/[^\s/]*)+"),
            ("WINPATH", r"(?:[A-Za-z]:|\\)(?:\\[^\\?*\s]*)+"),
            ("PATH", "(?:%{UNIXPATH}|%{WINPATH})"),
            ("TTY", r"/dev/(?:pts/\d+|tty\w*)"),
            ("URIPROTO", r"[A-Za-z][A-Za-z0-9+.-]*"),
            ("URIHOST", "%{IPORHOST}(?::%{POSINT})?"),
            ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_|-]*)+"),
            ("URIQUERY", r"[^\s#]*"),
            ("URIPARAM", r"\?%{URIQUERY}"),
            ("URIPATHPARAM", "%{URIPATH}(?:%{URIPARAM})?"),
            (
                "URI",
                r"%{URIPROTO}://(?:[^\s/@]+@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?",
            ),
        ],
    ),
    (
        "dates and times",
        &[
            (
                "MONTH",
                r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b",
            ),
            ("MONTHNUM", r"(?:1[0-2]|0?[1-9])"),
            ("MONTHNUM2", r"(?:1[0-2]|0[1-9])"),
            ("MONTHDAY", r"(?:3[01]|[12]\d|0?[1-9])"),
            (
                "DAY",
                r"\b(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)\b",
            ),
            ("YEAR", r"\d{4}|\d{2}"),
            ("HOUR", r"(?:2[0-3]|[01]?\d)"),
            ("MINUTE", r"[0-5]\d"),
            ("SECOND", r"(?:60|[0-5]?\d)(?:[.,:]\d+)?"),
            ("TIME", r"%{HOUR}:%{MINUTE}(?::%{SECOND})?"),
            ("DATE_US", r"%{MONTHNUM}[/-]%{MONTHDAY}[/-](?:%{YEAR})"),
            ("DATE_EU", r"%{MONTHDAY}[./-]%{MONTHNUM}[./-](?:%{YEAR})"),
            ("DATE", "(?:%{DATE_US}|%{DATE_EU})"),
            ("DATESTAMP", "%{DATE}[- ]%{TIME}"),
            ("ISO8601_TIMEZONE", r"(?:Z|[+-]%{HOUR}(?::?%{MINUTE})?)"),
            ("ISO8601_SECOND", "%{SECOND}"),
            (
                "TIMESTAMP_ISO8601",
                r"\d{4}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?",
            ),
            ("TZ", r"[A-Z]{3,5}"),
            (
                "DATESTAMP_RFC822",
                "%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}",
            ),
            (
                "DATESTAMP_RFC2822",
                "%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} (?:%{ISO8601_TIMEZONE}|%{TZ})",
            ),
            (
                "DATESTAMP_OTHER",
                "%{DAY} %{MONTH} +%{MONTHDAY} %{TIME} %{TZ} %{YEAR}",
            ),
            (
                "HTTPDATE",
                r"%{MONTHDAY}/%{MONTH}/\d{4}:%{HOUR}:%{MINUTE}:%{SECOND} [+-]\d{4}",
            ),
            // As WMI writes times: 20260131120000.000000+060 without the part behind the seconds.
            (
                "DATESTAMP_EVENTLOG",
                r"\d{4}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}",
            ),
        ],
    ),
];
