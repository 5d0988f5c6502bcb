//! Lines of syslog, web servers, Java and other programs, with the fields that they usually make.

use super::Group;

pub(super) const GROUPS: [Group; 4] = [
    (
        "lines of syslog",
        &[
            ("SYSLOGTIMESTAMP", "%{MONTH} +%{MONTHDAY} %{TIME}"),
            ("SYSLOGHOST", "%{IPORHOST}"),
            (
                "SYSLOGFACILITY",
                r"<%{NONNEGINT:facility}\.%{NONNEGINT:priority}>",
            ),
            ("PROG", r"[^\s\[\]:]+"),
            ("SYSLOGPROG", r"%{PROG:program}(?:\[%{POSINT:pid}\])?"),
            (
                "SYSLOGBASE",
                "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:",
            ),
            (
                "SYSLOGBASE2",
                "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp8601}) (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource}(?: %{SYSLOGPROG}:)?",
            ),
            ("SYSLOGLINE", "%{SYSLOGBASE2} %{GREEDYDATA:message}"),
            // RFC 5424, section 6.
            ("SYSLOG5424PRINTASCII", "[!-~]+"),
            ("SYSLOG5424PRI", "<%{NONNEGINT:syslog5424_pri}>"),
            (
                "SYSLOG5424SD",
                r#"(?:\[[!-~]+(?: [!-~]+="(?:[^"\\]|\\.)*")*\])+"#,
            ),
            (
                "SYSLOG5424BASE",
                "%{SYSLOG5424PRI}%{NONNEGINT:syslog5424_ver} +(?:-|%{TIMESTAMP_ISO8601:syslog5424_ts}) +(?:-|%{IPORHOST:syslog5424_host}) +(?:-|%{SYSLOG5424PRINTASCII:syslog5424_app}) +(?:-|%{SYSLOG5424PRINTASCII:syslog5424_proc}) +(?:-|%{SYSLOG5424PRINTASCII:syslog5424_msgid}) +(?:-|%{SYSLOG5424SD:syslog5424_sd})",
            ),
            (
                "SYSLOG5424LINE",
                "%{SYSLOG5424BASE} +%{GREEDYDATA:syslog5424_msg}",
            ),
            (
                "SYSLOGPAMSESSION",
                r"%{SYSLOGBASE} (?<message>%{WORD:pam_module}\(%{DATA:pam_caller}\): session %{WORD:pam_session_state} for user %{USERNAME:username}(?:\(uid=\d+\))?(?: by %{GREEDYDATA:pam_by})?)",
            ),
            ("CRON_ACTION", "[A-Z ]+"),
            (
                "CRONLOG",
                r"%{SYSLOGBASE} \(%{USER:user}\) %{CRON_ACTION:action} \(%{DATA:message}\)",
            ),
        ],
    ),
    (
        "lines of web servers",
        &[
            ("HTTPDUSER", r"[^\s\[]+"),
            // A request of any form, in which servers escape quotes.
            (
                "HTTPD_COMMONLOG",
                r#"%{IPORHOST:clientip} %{HTTPDUSER:ident} %{HTTPDUSER:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|(?<rawrequest>(?:[^"\\]|\\.)*))" (?:-|%{NUMBER:response}) (?:-|%{NUMBER:bytes})"#,
            ),
            (
                "HTTPD_COMBINEDLOG",
                "%{HTTPD_COMMONLOG} %{QS:referrer} %{QS:agent}",
            ),
            ("COMMONAPACHELOG", "%{HTTPD_COMMONLOG}"),
            ("COMBINEDAPACHELOG", "%{HTTPD_COMBINEDLOG}"),
            // https://httpd.apache.org/docs/2.4/mod/core.html#errorlogformat
            (
                "HTTPDERROR_DATE",
                r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} \d{4}",
            ),
            (
                "HTTPD20_ERRORLOG",
                r"\[%{HTTPDERROR_DATE:timestamp}\] \[%{LOGLEVEL:loglevel}\] (?:\[client %{IPORHOST:clientip}\] )?%{GREEDYDATA:message}",
            ),
            (
                "HTTPD24_ERRORLOG",
                r"\[%{HTTPDERROR_DATE:timestamp}\] \[%{WORD:module}?:%{LOGLEVEL:loglevel}\] \[pid %{POSINT:pid}(?::tid %{NUMBER:tid})?\](?: \(%{POSINT:proxy_errorcode}\)%{DATA:proxy_message}:)?(?: \[client %{IPORHOST:clientip}(?::%{POSINT:clientport})?\])?(?: (?<errorcode>AH\d+):)? %{GREEDYDATA:message}",
            ),
            (
                "HTTPD_ERRORLOG",
                "(?:%{HTTPD20_ERRORLOG}|%{HTTPD24_ERRORLOG})",
            ),
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
            (
                "S3_REQUEST_LINE",
                r#"(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|(?<rawrequest>(?:[^"\\]|\\.)*))"#,
            ),
            (
                "S3_ACCESS_LOG",
                r#"%{WORD:owner} %{NOTSPACE:bucket} \[%{HTTPDATE:timestamp}\] (?:-|%{IP:clientip}) %{NOTSPACE:requester} %{NOTSPACE:request_id} %{NOTSPACE:operation} %{NOTSPACE:key} (?:-|"%{S3_REQUEST_LINE}") (?:-|%{INT:response:int}) (?:-|%{NOTSPACE:error_code}) (?:-|%{INT:bytes:int}) (?:-|%{INT:object_size:int}) (?:-|%{INT:request_time_ms:int}) (?:-|%{INT:turnaround_time_ms:int}) (?:-|%{QS:referrer}) (?:-|%{QS:agent}) (?:-|%{NOTSPACE:version_id})"#,
            ),
            // https://docs.haproxy.org/3.2/configuration.html#8.2.3
            ("HAPROXYTIME", r"%{HOUR}:%{MINUTE}:[0-5]\d"),
            (
                "HAPROXYDATE",
                r"%{MONTHDAY}/%{MONTH}/\d{4}:%{HAPROXYTIME}\.\d+",
            ),
            (
                "HAPROXYHTTPBASE",
                r#"%{IP:client_ip}:%{INT:client_port} \[%{HAPROXYDATE:accept_date}\] %{NOTSPACE:frontend_name} (?<backend_name>[^\s/]+)/%{NOTSPACE:server_name} %{INT:time_request}/%{INT:time_queue}/%{INT:time_backend_connect}/%{INT:time_backend_response}/%{INT:time_duration} %{INT:http_status_code} %{INT:bytes_read} %{NOTSPACE:captured_request_cookie} %{NOTSPACE:captured_response_cookie} %{NOTSPACE:termination_state} %{INT:actconn}/%{INT:feconn}/%{INT:beconn}/%{INT:srvconn}/%{INT:retries} %{INT:srv_queue}/%{INT:backend_queue}(?: \{(?<captured_request_headers>[^}]*)\})?(?: \{(?<captured_response_headers>[^}]*)\})? "(?:<BADREQ>|%{WORD:http_verb} %{NOTSPACE:http_request}(?: HTTP/%{NUMBER:http_version})?)"?"#,
            ),
            (
                "HAPROXYHTTP",
                "(?:%{SYSLOGTIMESTAMP:syslog_timestamp}|%{TIMESTAMP_ISO8601:timestamp8601}) %{IPORHOST:syslog_server} %{SYSLOGPROG}: %{HAPROXYHTTPBASE}",
            ),
        ],
    ),
    (
        "lines of Java",
        &[
            (
                "JAVACLASS",
                r"[A-Za-z_$][A-Za-z0-9_$]*(?:\.[A-Za-z_$][A-Za-z0-9_$]*)*",
            ),
            // Also `Native Method` and `Unknown Source`.
            ("JAVAFILE", r"[A-Za-z0-9_$. -]+"),
            ("JAVAMETHOD", r"(?:<(?:cl)?init>|[A-Za-z_$][A-Za-z0-9_$]*)"),
            (
                "JAVASTACKTRACEPART",
                r"%{SPACE}at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line})?\)",
            ),
            ("JAVATHREAD", r"[A-Z]{2}-Processor\d+"),
            ("JAVALOGMESSAGE", "%{GREEDYDATA}"),
            // Tomcat up to 7, as `java.util.logging.SimpleFormatter`, and since 8, as its own formatter.
            (
                "CATALINA7_DATESTAMP",
                r"%{MONTH} %{MONTHDAY}, \d{4} %{HOUR}:%{MINUTE}:%{SECOND} [AP]M",
            ),
            (
                "CATALINA8_DATESTAMP",
                r"%{MONTHDAY}-%{MONTH}-\d{4} %{HOUR}:%{MINUTE}:%{SECOND}",
            ),
            (
                "CATALINA_DATESTAMP",
                "(?:%{CATALINA8_DATESTAMP}|%{CATALINA7_DATESTAMP})",
            ),
            (
                "CATALINA7_LOG",
                r"%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:class}(?: %{JAVAMETHOD:method})?\s*(?:%{LOGLEVEL:level}:)? %{JAVALOGMESSAGE:logmessage}",
            ),
            (
                "CATALINA8_LOG",
                r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:level} \[(?<thread>[^\]]*)\] %{JAVACLASS:class}(?:\.%{JAVAMETHOD:method})? %{JAVALOGMESSAGE:logmessage}",
            ),
            ("CATALINALOG", "(?:%{CATALINA8_LOG}|%{CATALINA7_LOG})"),
            (
                "TOMCAT_DATESTAMP",
                r"\d{4}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND}(?: %{ISO8601_TIMEZONE})?",
            ),
            (
                "TOMCATLOG",
                r"%{TOMCAT_DATESTAMP:timestamp} \| %{LOGLEVEL:level} \| %{JAVACLASS:class} - %{JAVALOGMESSAGE:logmessage}",
            ),
        ],
    ),
    (
        "lines of PostgreSQL",
        &[(
            "POSTGRESQL",
            "%{DATESTAMP:timestamp} %{TZ} %{DATA:user_id} %{GREEDYDATA:connection_id} %{POSINT:pid}",
        )],
    ),
];
