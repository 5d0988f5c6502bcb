//! What the page of all operators begins with: a whole topology file, and the language in it.

pub(super) const HEAD: &str = r#"<!-- Made by `cargo regenerate` from the operators' own documentation. Do not edit. -->

# Operators

What a topology file can name, with every option. The same text comes from `isobar operators NAME`.

A duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `500ms`; a size one with `KiB`, `MiB`, `GiB` (1024) or `kB`, `MB`, `GB` (1000), such as `8MiB`; a rate a whole number of records with `/s`, `/m` or `/h`, such as `1000/s`. A list of texts can be one text with commas. Options with a dot in their name stand below the one before the dot.

## A whole topology file

```yaml
isobar: 1
name: orders
connections:
  kafka: {type: kafka, brokers: "${KAFKA:-localhost:9092}"}
  search: {type: elasticsearch, hosts: "${ES:-http://localhost:9200}"}
spouts:
  orders: {type: kafka, connection: kafka, topics: [orders], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [orders], event_time: created}
  route:
    type: route
    inputs: [parse]
    routes: {large: "doc.total >= 1000 || doc.customer.kind == 'vip'"}
    default: rest
  mark:
    type: set_fields
    inputs: [route.large]
    fields:
      priority: high
      shop: "{{ doc.host.substring(0, 5).lowerAscii() }}"
      sender: "{{ default(kafka.headers['sender'], 'unknown') }}"
  index:
    type: elasticsearch
    connection: search
    inputs: [mark, route.rest]
    index: "orders-{{ event_time.format('%Y.%m.%d') }}"
dead_letter: {type: kafka, connection: kafka, topic: orders.dead}
```

Each spout and bolt has an id, a `type` and options; bolts say where their records come from. `isobar validate FILE` names everything that is wrong, with its line; `isobar plan FILE` shows what would run; `isobar try FILE` shows what becomes of records, and writes nothing.

## Expressions

Conditions, such as those of `routes` and `keep_when`, are expressions of [CEL](https://cel.dev). In other texts an expression stands in `{{ }}`; a text that is nothing but one keeps the type of its value.

| written | what it is |
|---|---|
| `doc.host`, `doc.user.name`, `doc["log.level"]`, `doc.tags[0]` | a field of the document; a name with a dot in it stands in brackets |
| `kafka.topic`, `kafka.partition`, `kafka.offset`, `kafka.timestamp`, `kafka.key`, `kafka.headers["x"]` | where the record lies in Kafka, and what it has besides its value |
| `event_time` | the time that a parser found, else the timestamp of the record |
| `'text'`, `12`, `1.5`, `true`, `null`, `['a', 'b']` | constants |
| `==` `!=` `<` `<=` `>` `>=` `in`, `&&` `\|\|` `!`, `+` `-` `*` `/` `%`, `x ? y : z` | as in CEL; numbers compare by their value: `1 == 1.0` |
| `has(doc.NAME)` | whether the field is there |
| `default(doc.NAME, VALUE)` | the field, or the value where it is missing or null |
| `TIME.format('%Y.%m.%d')` | a time as text, in UTC |
| `TEXT.startsWith(TEXT)`, `TEXT.endsWith(TEXT)`, `TEXT.contains(TEXT)` | whether a text begins with, ends with or has another one in it |
| `TEXT.matches('PATTERN')` | whether a regular expression, as in `parse_regex`, is found in a text: `doc.path.matches(r'^/api/v\d+/')`; in `r'...'` backslashes stay as they are |
| `TEXT.substring(START, END)` | characters from the first one, which is 0, to before the end; without an end, to the last one; undefined where the text is shorter |
| `TEXT.lowerAscii()`, `TEXT.upperAscii()` | in small or large letters, of ASCII |
| `size(VALUE)` | characters of a text, elements of a list, members of an object |
| `int(VALUE)`, `double(VALUE)`, `string(VALUE)` | of another type |
| `timestamp(TEXT)` | the time of a text such as `2026-01-31T00:00:00Z` |

What a record lacks makes an expression undefined: a condition is false then, `filter` keeps the record, and what has no text, such as the name of an index or a field of `set_fields`, rejects it. `has` and `default` are the ways out.
"#;
