/* The scanner in C: ordinary messages and URIs, read in one walk (RFC 3261 §7, §19, §20, §25.1).
 *
 * It knows no errors. Whatever is not ordinary - folded, quoted, escaped, malformed - gives None, and
 * the parser in Python has the word. What it does read, it reads exactly as that parser does:
 * tests/sip/test_scanner.py holds the two together. Nothing is kept between calls but the tables
 * that `prepare` is given.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <structmember.h>

#define MOST_LINES 64
#define MOST_HEADERS 256 /* a power of two */
#define LONGEST_NAME 32
#define MOST_SLOTS 12

/* The places of the fields that are looked at; the others in Python's table come once at most. */
enum { VIA, FROM, TO, CALL_ID, CSEQ, HOPS, LENGTH, MANDATORY = HOPS, MANY = 31 };

typedef struct { const char *at; Py_ssize_t size; } Text;
typedef struct { char lower[LONGEST_NAME]; Py_ssize_t size; PyObject *name; int field; } Header;

static Header headers[MOST_HEADERS];
static PyObject *methods; /* NULL until `prepare` was called */
static PyObject *empty, *scheme_sip, *scheme_sips, *version_2, *name_branch, *port_sip, *port_sips;

/* A class in Python with slots and nothing else, and where in its objects these lie. */
typedef struct {
    const char *slots[MOST_SLOTS];
    PyTypeObject *type;
    Py_ssize_t offsets[MOST_SLOTS];
} Shape;

/* The order is that in which the functions below give the values. */
static Shape shapes[] = {
    {.slots = {"transport", "host", "port", "params", "branch", "effective_port"}},
    {.slots = {"number", "method"}},
    {.slots = {"display", "raw_uri", "raw_params", "_params", "_uri"}},
    {.slots = {"raw", "scheme", "user", "password", "host", "port", "params", "headers"}},
    {.slots = {"names", "lines", "body", "_via", "_cseq", "_from", "_to", "_hops",
               "method", "raw_uri", "version", "_uri"}},
    {.slots = {"names", "lines", "body", "_via", "_cseq", "_from", "_to", "_hops",
               "status", "reason"}},
};
enum { A_VIA, A_CSEQ, A_NAME_ADDR, A_URI, A_REQUEST, A_RESPONSE, KINDS };

enum { TOKEN = 1, SPACE = 2, HOST_END = 4, HOST_IN = 8, USER = 16, VALUE = 32, URI_PARAM = 64 };
static unsigned char kinds[256];

static void fill_kinds(void)
{
    for (int c = 0; c < 256; c++) {
        int alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        int space = c == ' ' || (c >= '\t' && c <= '\r');
        int kind = space ? SPACE : 0;
        if (alnum || (c && strchr("-.!%*_+`'~", c))) kind |= TOKEN;
        if (alnum || c == '_' || c == '.') kind |= HOST_END;
        if (alnum || c == '_' || c == '.' || c == '-') kind |= HOST_IN;
        if (!(c && strchr("@:<>\"\x7f", c)) && c > 0x20) kind |= USER;
        if (!space && !(c && strchr(";,\"<>", c))) kind |= VALUE;
        if (!space && !(c && strchr("?@<>\"%", c))) kind |= URI_PARAM;
        kinds[c] = (unsigned char)kind;
    }
}

static inline int is(char c, int kind) { return kinds[(unsigned char)c] & kind; }
static inline char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static inline char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }

static PyObject *bytes_of(Text text) { return PyBytes_FromStringAndSize(text.at, text.size); }

static PyObject *mapped(Text text, char (*map)(char))
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, text.size);
    if (made)
        for (Py_ssize_t i = 0; i < text.size; i++) PyBytes_AS_STRING(made)[i] = map(text.at[i]);
    return made;
}

static char as_lower(char c) { return lower(c); }
static char as_upper(char c) { return upper(c); }

static Text stripped(const char *at, const char *end)
{
    while (at < end && is(*at, SPACE)) at++;
    while (at < end && is(end[-1], SPACE)) end--;
    return (Text){at, end - at};
}

static int equals(Text text, const char *other)
{
    return text.size == (Py_ssize_t)strlen(other) && !memcmp(text.at, other, (size_t)text.size);
}

/* A decimal number of at most `most` digits, or -1. */
static long long number(Text text, int most)
{
    long long value = 0;
    if (text.size < 1 || text.size > most) return -1;
    for (Py_ssize_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return -1;
        value = value * 10 + (text.at[i] - '0');
    }
    return value;
}

static int count_of(const Shape *shape)
{
    int count = 0;
    while (count < MOST_SLOTS && shape->slots[count]) count++;
    return count;
}

/* An object of one of the classes, without a call of Python; NULL where a value is. Takes all. */
static PyObject *make(int kind, PyObject **values)
{
    const Shape *shape = &shapes[kind];
    int count = count_of(shape), whole = 1;
    PyObject *made = NULL;
    for (int i = 0; i < count; i++) whole &= values[i] != NULL;
    if (whole) made = shape->type->tp_alloc(shape->type, 0);
    for (int i = 0; i < count; i++)
        if (made) *(PyObject **)((char *)made + shape->offsets[i]) = values[i];
        else Py_XDECREF(values[i]);
    return made;
}

/* --- Pieces. Each takes the place to begin, and returns where it ended, or NULL. --- */

static const char *run_of(const char *at, const char *end, int kind)
{
    while (at < end && is(*at, kind)) at++;
    return at;
}

/* host [":" port], the host a name or an IPv4 address; port -1 where none is written. */
static const char *host_port(const char *at, const char *end, Text *host, long long *port)
{
    const char *stop = run_of(at, end, HOST_IN);
    if (stop == at || !is(*at, HOST_END) || *at == '.' || !is(stop[-1], HOST_END)) return NULL;
    for (const char *dot = at + 1; dot < stop; dot++)
        if (*dot == '.' && dot[-1] == '.') return NULL;
    *host = (Text){at, stop - at};
    if (stop[-1] == '.') host->size--;
    *port = -1;
    if (stop < end && *stop == ':') {
        at = stop + 1;
        for (stop = at; stop < end && *stop >= '0' && *stop <= '9';) stop++;
        *port = number((Text){at, stop - at}, 5);
        if (*port < 0 || *port > 65535) return NULL;
    }
    return stop;
}

static PyObject *port_object(long long port)
{
    if (port >= 0) return PyLong_FromLongLong(port);
    Py_RETURN_NONE;
}

/* Put a parameter into a dictionary, if there is one: 1, or 0 where its name is there already. */
static int put(PyObject *params, Text name, Text value, int has_value)
{
    PyObject *key = mapped(name, as_lower), *text = NULL;
    Py_ssize_t before = PyDict_GET_SIZE(params);
    int is_put = 0;
    if (key) text = has_value ? bytes_of(value) : Py_NewRef(Py_None);
    if (text) is_put = !PyDict_SetItem(params, key, text) && PyDict_GET_SIZE(params) > before;
    Py_XDECREF(key);
    Py_XDECREF(text);
    return is_put;
}

/* name "=" ( value / quoted ) *( "," name "=" ... ) up to `end`, without escapes; 0 if it is not. */
static int digest_params(const char *at, const char *end, PyObject *params)
{
    for (;; at++) {
        Text name = {at = run_of(at, end, SPACE), 0}, value;
        at = run_of(at, end, TOKEN);
        if (!(name.size = at - name.at)) return 0;
        at = run_of(at, end, SPACE);
        if (at == end || *at != '=') return 0;
        value.at = at = run_of(at + 1, end, SPACE);
        if (at < end && *at == '"') {
            for (value.at = ++at; at < end && *at != '"' && *at != '\\';) at++;
            if (at == end || *at == '\\') return 0;
            value.size = at++ - value.at;
        }
        else {
            at = run_of(at, end, VALUE);
            if (!(value.size = at - value.at)) return 0;
        }
        at = run_of(at, end, SPACE);
        if ((at < end && *at != ',') || !put(params, name, value, 1)) return 0;
        if (at == end) return 1;
    }
}

/* *( ";" token [ "=" value ] ) up to `end`, without spaces, brackets and escapes, but for what is
   quoted; 0 if it is not. */
static int header_params(const char *at, const char *end, PyObject *params)
{
    while (at < end) {
        Text name, value = {NULL, 0};
        int has_value;
        if (*at++ != ';') return 0;
        name = (Text){at, 0};
        at = run_of(at, end, TOKEN);
        if (!(name.size = at - name.at)) return 0;
        has_value = at < end && *at == '=';
        if (has_value) {
            value.at = ++at;
            if (at < end && *at == '"') {
                for (at++; at < end && *at != '"' && *at != '\\';) at++;
                if (at == end || *at++ == '\\') return 0;
            }
            else {
                while (at < end && is(*at, VALUE) && *at != '=' && *at != '[' && *at != ']') at++;
                if (at == value.at) return 0;
                if (at < end && *at == '=') at = run_of(at + 1, end, VALUE);
            }
            value.size = at - value.at;
        }
        if (params && !put(params, name, value, has_value)) return 0;
    }
    return 1;
}

/* --- Values. Each returns a new object, or NULL: with an exception, or as "not ordinary". --- */

static PyObject *branch_of(PyObject *params)
{
    PyObject *branch = PyDict_GetItemWithError(params, name_branch);
    return Py_NewRef(branch && branch != Py_None ? branch : empty);
}

static PyObject *via_value(Text text)
{
    const char *at = text.at, *end = at + text.size, *stop;
    PyObject *values[MOST_SLOTS] = {NULL};
    Text host;
    long long port;
    if (text.size < 8 || memcmp(at, "SIP/2.0/", 8)) return NULL;
    at += 8;
    stop = run_of(at, end, TOKEN);
    if (stop == at || stop == end || *stop != ' ') return NULL;
    text = (Text){at, stop - at};
    if (!(at = host_port(stop + 1, end, &host, &port))) return NULL;
    if ((values[3] = PyDict_New()) && header_params(at, end, values[3])
        && (values[0] = mapped(text, as_upper))) {
        int is_tls = !strcmp(PyBytes_AS_STRING(values[0]), "TLS");
        values[1] = mapped(host, as_lower);
        values[2] = port_object(port);
        values[4] = branch_of(values[3]);
        values[5] = Py_XNewRef(port >= 0 ? values[2] : is_tls ? port_sips : port_sip);
    }
    return make(A_VIA, values);
}

/* `method` is what a request has to name, or NULL; a known method is taken from the table. */
static PyObject *cseq_value(Text text, PyObject *method)
{
    const char *at = text.at, *end = at + text.size, *stop = at;
    PyObject *values[MOST_SLOTS], *named, *known;
    long long sequence;
    while (stop < end && *stop >= '0' && *stop <= '9') stop++;
    sequence = number((Text){at, stop - at}, 10);
    if (sequence < 0 || sequence > 0x7fffffff) return NULL;
    at = stop;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    if (at == stop || at == end || run_of(at, end, TOKEN) != end) return NULL;
    if (!(named = bytes_of((Text){at, end - at}))) return NULL;
    known = PyDict_GetItemWithError(methods, named);
    Py_DECREF(named);
    if (!known || (method && known != method)) return NULL;
    values[0] = PyLong_FromLongLong(sequence);
    values[1] = Py_NewRef(known);
    return make(A_CSEQ, values);
}

/* *( ";" name [ "=" value ] ) of a URI, without escapes; 0 if it is not (§19.1.1). */
static int uri_params(const char *at, const char *end, PyObject *params)
{
    if (run_of(at, end, URI_PARAM) != end) return 0;
    while (at < end) {
        const char *name = ++at, *stop = memchr(at, ';', (size_t)(end - at)), *equals_sign;
        if (!stop) stop = end;
        equals_sign = memchr(name, '=', (size_t)(stop - name));
        at = equals_sign ? equals_sign : stop;
        if (at == name) return 0;
        Text value = {at + 1, equals_sign ? stop - at - 1 : 0};
        if (!put(params, (Text){name, at - name}, value, equals_sign != NULL)) return 0;
        at = stop;
    }
    return 1;
}

/* A sip or sips URI without password, escapes in its parameters, IPv6 and headers. */
static PyObject *uri_value(PyObject *raw)
{
    const char *at = PyBytes_AS_STRING(raw), *end = at + PyBytes_GET_SIZE(raw), *host_at;
    PyObject *values[MOST_SLOTS] = {NULL}, *scheme;
    Text host, user = {NULL, 0};
    long long port;
    if (end - at > 4 && !memcmp(at, "sip:", 4)) scheme = scheme_sip;
    else if (end - at > 5 && !memcmp(at, "sips:", 5)) scheme = scheme_sips;
    else return NULL;
    at += PyBytes_GET_SIZE(scheme) + 1;
    if ((host_at = memchr(at, '@', (size_t)(end - at)))) {
        user = (Text){at, host_at - at};
        if (!user.size || run_of(at, host_at, USER) != host_at) return NULL;
        at = host_at + 1;
    }
    if (!(at = host_port(at, end, &host, &port))) return NULL;
    if (at < end && *at != ';') return NULL;
    if ((values[6] = PyDict_New()) && uri_params(at, end, values[6])) {
        values[0] = Py_NewRef(raw);
        values[1] = Py_NewRef(scheme);
        values[2] = user.at ? bytes_of(user) : Py_NewRef(Py_None);
        values[3] = Py_NewRef(Py_None);
        values[4] = mapped(host, as_lower);
        values[5] = port_object(port);
        values[7] = Py_NewRef(empty);
    }
    return make(A_URI, values);
}

/* [display] "<" uri ">" params */
static PyObject *name_addr_value(Text text)
{
    const char *at = text.at, *end = at + text.size, *stop = at, *close;
    PyObject *values[MOST_SLOTS];
    if (at < end && *at == '"') {
        for (stop++; stop < end && *stop != '"' && *stop != '\\';) stop++;
        if (stop == end || *stop == '\\') return NULL;
        stop = run_of(stop + 1, end, SPACE);
    }
    else
        while (stop < end && (is(*stop, TOKEN | SPACE) || (unsigned char)*stop >= 0x80)) stop++;
    if (stop == end || *stop != '<') return NULL;
    text = stripped(at, stop++);
    close = memchr(stop, '>', (size_t)(end - stop));
    if (!close || memchr(stop, '<', (size_t)(close - stop))) return NULL;
    if (!header_params(close + 1, end, NULL)) return NULL;
    values[0] = bytes_of(text);
    values[1] = bytes_of((Text){stop, close - stop});
    values[2] = bytes_of((Text){close + 1, end - close - 1});
    values[3] = values[4] = NULL;
    if (values[0] && values[1] && values[2]) {
        PyObject *uri = uri_value(values[1]); /* whoever is given a From asks for it */
        values[3] = Py_NewRef(Py_None);
        values[4] = uri || PyErr_Occurred() ? uri : Py_NewRef(Py_None);
    }
    return make(A_NAME_ADDR, values);
}

/* --- The head --- */

static size_t place_of(Text name)
{
    size_t first = (size_t)lower(name.at[0]), last = (size_t)lower(name.at[name.size - 1]);
    return (first * 31 + last * 7 + (size_t)name.size) % MOST_HEADERS;
}

static Header *known_header(Text name)
{
    if (name.size < 1 || name.size > LONGEST_NAME) return NULL;
    for (size_t i = place_of(name); headers[i].name; i = (i + 1) % MOST_HEADERS) {
        Py_ssize_t j = 0;
        if (headers[i].size != name.size) continue;
        while (j < name.size && headers[i].lower[j] == lower(name.at[j])) j++;
        if (j == name.size) return &headers[i];
    }
    return NULL;
}

typedef struct {
    Text start;
    Py_ssize_t count;
    Text lines[MOST_LINES];
    PyObject *names; /* a list */
    Text fields[MANY];
    unsigned seen;
} Head;

/* The next line, without its end, or a text that begins nowhere. */
static Text next_line(const char *at, const char *end)
{
    const char *stop = memchr(at, '\r', (size_t)(end - at));
    Text none = {NULL, 0};
    if (!stop || stop + 1 >= end || stop[1] != '\n') return none;
    if (memchr(at, '\n', (size_t)(stop - at)) || memchr(at, 0, (size_t)(stop - at))) return none;
    return (Text){at, stop - at};
}

/* Note one header line; 0 where it is not ordinary. */
static int take_line(Head *head, Text line)
{
    const char *colon = memchr(line.at, ':', (size_t)line.size);
    Text name = {line.at, colon ? colon - line.at : 0};
    Header *known;
    PyObject *made;
    int failed;
    if (head->count == MOST_LINES || !colon || run_of(line.at, colon, TOKEN) != colon) return 0;
    if (!name.size) return 0;
    if ((known = known_header(name))) {
        unsigned bit = 1u << known->field;
        failed = PyList_Append(head->names, known->name);
        if (known->field != MANY) {
            if (known->field != VIA && (head->seen & bit)) return 0;
            if (!(head->seen & bit))
                head->fields[known->field] = stripped(colon + 1, line.at + line.size);
            head->seen |= bit;
        }
    }
    else {
        if (!(made = mapped(name, as_lower))) return 0;
        failed = PyList_Append(head->names, made);
        Py_DECREF(made);
    }
    head->lines[head->count++] = line;
    return !failed;
}

/* Read the head; return where the body begins, or NULL. */
static const char *take_head(Head *head, const char *at, const char *end)
{
    const unsigned all = (1u << MANDATORY) - 1;
    head->start = next_line(at, end);
    if (!head->start.at || !head->start.size) return NULL;
    at += head->start.size + 2;
    for (;;) {
        Text line = next_line(at, end);
        if (!line.at) return NULL;
        at += line.size + 2;
        if (!line.size) break;
        if (!take_line(head, line)) return NULL;
    }
    if ((head->seen & all) != all || !head->fields[CALL_ID].size) return NULL;
    return at;
}

/* Read a head and go beyond it; return its one Content-Length, or -1. */
static long long take_length(const char **at, const char *end)
{
    Text line = next_line(*at, end);
    long long length = -1;
    if (!line.size) return -1;
    for (;;) {
        *at += line.size + 2;
        line = next_line(*at, end);
        if (!line.size) break;
        const char *colon = memchr(line.at, ':', (size_t)line.size);
        if (!colon || run_of(line.at, colon, TOKEN) != colon) return -1;
        Header *known = known_header((Text){line.at, colon - line.at});
        if (!known || known->field != LENGTH) continue;
        if (length >= 0) return -1;
        length = number(stripped(colon + 1, line.at + line.size), 10);
        if (length < 0) return -1;
    }
    *at += 2;
    return line.at ? length : -1;
}

static PyObject *list_of_lines(const Head *head)
{
    PyObject *list = PyList_New(head->count);
    for (Py_ssize_t i = 0; list && i < head->count; i++) {
        PyObject *line = bytes_of(head->lines[i]);
        if (!line) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, line);
    }
    return list;
}

/* The body up to Content-Length, or all of it where that is not to be looked at. */
static PyObject *body_of(const Head *head, const char *at, const char *end, int fits)
{
    if (fits && head->seen & (1u << LENGTH)) {
        long long length = number(head->fields[LENGTH], 10);
        if (length < 0 || length > end - at) return NULL;
        end = at + length;
    }
    return bytes_of((Text){at, end - at});
}

/* Max-Forwards, or None where there is none; NULL where it is not ordinary. */
static PyObject *hops_of(const Head *head)
{
    long long left;
    if (!(head->seen & (1u << HOPS))) Py_RETURN_NONE;
    left = number(head->fields[HOPS], 10);
    return left >= 0 && left <= 255 ? PyLong_FromLongLong(left) : NULL;
}

/* Takes the names and the body, as `make` does. */
static PyObject *request(Head *head, PyObject *names, PyObject *body)
{
    const char *at = head->start.at, *end = at + head->start.size, *stop, *version;
    PyObject *values[MOST_SLOTS] = {names, NULL, body}, *named;
    stop = memchr(at, ' ', (size_t)(end - at));
    version = stop ? memchr(stop + 1, ' ', (size_t)(end - stop - 1)) : NULL;
    if (version && equals((Text){version, end - version}, " SIP/2.0")
        && (named = bytes_of((Text){at, stop - at}))) {
        values[8] = Py_XNewRef(PyDict_GetItemWithError(methods, named));
        Py_DECREF(named);
        if (values[8] && (values[9] = bytes_of((Text){stop + 1, version - stop - 1}))
            && (values[7] = hops_of(head)) && (values[11] = uri_value(values[9]))
            && (values[3] = via_value(head->fields[VIA]))
            && (values[4] = cseq_value(head->fields[CSEQ], values[8]))
            && (values[5] = name_addr_value(head->fields[FROM]))) {
            values[1] = list_of_lines(head);
            values[6] = Py_NewRef(Py_None);
            values[10] = Py_NewRef(version_2);
        }
    }
    return make(A_REQUEST, values);
}

static PyObject *response(Head *head, PyObject *names, PyObject *body)
{
    const char *at = head->start.at + 8, *end = head->start.at + head->start.size;
    PyObject *values[MOST_SLOTS] = {names, NULL, body};
    long long code = end - at >= 3 ? number((Text){at, 3}, 3) : -1;
    at += 3;
    if (code >= 100 && code <= 699 && (at >= end || *at == ' ')
        && (values[3] = via_value(head->fields[VIA]))
        && (values[4] = cseq_value(head->fields[CSEQ], NULL))) {
        if (at < end) at++;
        values[1] = list_of_lines(head);
        for (int i = 5; i < 8; i++) values[i] = Py_NewRef(Py_None);
        values[8] = PyLong_FromLongLong(code);
        values[9] = bytes_of((Text){at, end - at});
    }
    return make(A_RESPONSE, values);
}

/* --- What Python calls --- */

static PyObject *or_none(PyObject *found)
{
    if (!found && !PyErr_Occurred()) Py_RETURN_NONE;
    return found;
}

static PyObject *scan_message(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Head head = {.names = NULL};
    PyObject *body, *found = NULL;
    const char *at, *end;
    if (count != 2 || !PyBytes_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "message(data: bytes, fits: bool)");
        return NULL;
    }
    at = PyBytes_AS_STRING(arguments[0]);
    end = at + PyBytes_GET_SIZE(arguments[0]);
    if (!methods) Py_RETURN_NONE; /* nothing is prepared */
    if (!(head.names = PyList_New(0))) return NULL;
    if ((at = take_head(&head, at, end))
        && (body = body_of(&head, at, end, arguments[1] == Py_True))) {
        int answers = head.start.size > 8 && !memcmp(head.start.at, "SIP/2.0 ", 8);
        PyObject *names = Py_NewRef(head.names);
        found = answers ? response(&head, names, body) : request(&head, names, body);
    }
    Py_DECREF(head.names);
    return or_none(found);
}

/* Where the message that begins at a place of a stream ends: perhaps beyond what is there. 0 where
   its head is not whole, not ordinary or too long, or its body is too long. */
static PyObject *scan_end(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Py_ssize_t numbers[3] = {0};
    if (count != 4 || !PyBytes_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "end(data: bytes, start: int, head: int, body: int)");
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        numbers[i] = PyLong_AsSsize_t(arguments[i + 1]);
        if (numbers[i] == -1 && PyErr_Occurred()) return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(arguments[0]), start = numbers[0];
    const char *data = PyBytes_AS_STRING(arguments[0]), *at = data + start;
    if (start < 0 || start >= size) return PyLong_FromLong(0);
    long long length = take_length(&at, data + size);
    if (length < 0 || length > numbers[2] || at - data - start - 4 > numbers[1])
        return PyLong_FromLong(0);
    return PyLong_FromLongLong(at - data + length);
}

static PyObject *scan_uri(PyObject *module, PyObject *raw)
{
    if (!PyBytes_Check(raw)) {
        PyErr_SetString(PyExc_TypeError, "uri(raw: bytes)");
        return NULL;
    }
    return or_none(methods ? uri_value(raw) : NULL);
}

static PyObject *scan_address(PyObject *module, PyObject *value)
{
    if (!PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "address(value: bytes)");
        return NULL;
    }
    return or_none(methods ? name_addr_value(
        (Text){PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)}) : NULL);
}

static PyObject *scan_params(PyObject *module, PyObject *text)
{
    PyObject *params;
    const char *at;
    if (!PyBytes_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "params(text: bytes)");
        return NULL;
    }
    at = PyBytes_AS_STRING(text);
    params = PyDict_New();
    if (params && !header_params(at, at + PyBytes_GET_SIZE(text), params)) Py_CLEAR(params);
    return or_none(params);
}

static PyObject *scan_digest(PyObject *module, PyObject *text)
{
    PyObject *params;
    const char *at;
    if (!PyBytes_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "digest(text: bytes)");
        return NULL;
    }
    at = PyBytes_AS_STRING(text);
    params = PyDict_New();
    if (params && !digest_params(at, at + PyBytes_GET_SIZE(text), params)) Py_CLEAR(params);
    return or_none(params);
}

/* The value of the first line of a header, stripped and still folded, or None. */
static PyObject *scan_field(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyList_Check(arguments[0]) || !PyList_Check(arguments[1])
        || !PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "field(names: list, lines: list, name: bytes)");
        return NULL;
    }
    PyObject *names = arguments[0], *lines = arguments[1], *name = arguments[2];
    Py_ssize_t size = PyBytes_GET_SIZE(name), most = PyList_GET_SIZE(names);
    if (PyList_GET_SIZE(lines) < most) most = PyList_GET_SIZE(lines);
    for (Py_ssize_t i = 0; i < most; i++) {
        PyObject *known = PyList_GET_ITEM(names, i), *line = PyList_GET_ITEM(lines, i);
        if (known != name && (!PyBytes_Check(known) || PyBytes_GET_SIZE(known) != size
            || memcmp(PyBytes_AS_STRING(known), PyBytes_AS_STRING(name), (size_t)size)))
            continue;
        if (!PyBytes_Check(line)) break;
        const char *at = PyBytes_AS_STRING(line), *end = at + PyBytes_GET_SIZE(line);
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (!colon) break;
        return bytes_of(stripped(colon + 1, end));
    }
    Py_RETURN_NONE;
}

/* The names, and the lines, of those headers that are in a set. */
static PyObject *scan_select(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyList_Check(arguments[0]) || !PyList_Check(arguments[1])
        || !PyAnySet_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "select(names: list, lines: list, wanted: frozenset)");
        return NULL;
    }
    PyObject *names = PyList_New(0), *lines = PyList_New(0), *both = NULL;
    int is_in = names && lines ? 0 : -1;
    for (Py_ssize_t i = 0; is_in >= 0 && i < PyList_GET_SIZE(arguments[0])
             && i < PyList_GET_SIZE(arguments[1]); i++) {
        PyObject *name = PyList_GET_ITEM(arguments[0], i), *line = PyList_GET_ITEM(arguments[1], i);
        Py_INCREF(name);
        Py_INCREF(line);  /* comparing may run code that edits the lists */
        is_in = PySet_Contains(arguments[2], name);
        if (is_in > 0 && (PyList_Append(names, name) || PyList_Append(lines, line))) is_in = -1;
        Py_DECREF(name);
        Py_DECREF(line);
    }
    if (is_in >= 0) both = PyTuple_Pack(2, names, lines);
    Py_XDECREF(names);
    Py_XDECREF(lines);
    return both;
}

static int learn(PyObject *written, PyObject *name, long field)
{
    Text text = {PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written)};
    size_t place;
    if (text.size < 1 || text.size > LONGEST_NAME || field < 0 || field > MANY) return 0;
    for (place = place_of(text); headers[place].name;) place = (place + 1) % MOST_HEADERS;
    for (Py_ssize_t i = 0; i < text.size; i++) headers[place].lower[i] = lower(text.at[i]);
    headers[place].size = text.size;
    headers[place].field = (int)field;
    headers[place].name = Py_NewRef(name);
    return 1;
}

/* Where a slot lies in the objects of a class; 0 where that has no such slot. */
static Py_ssize_t offset_of(PyObject *type, const char *name)
{
    PyObject *slot = PyObject_GetAttrString(type, name);
    Py_ssize_t offset = 0;
    if (slot && Py_IS_TYPE(slot, &PyMemberDescr_Type)) {
        PyMemberDef *member = ((PyMemberDescrObject *)slot)->d_member;
        if (member->type == T_OBJECT_EX) offset = member->offset;
    }
    Py_XDECREF(slot);
    return offset;
}

/* Learn a class; 0 unless its slots are those that `make` fills, and all that it has. */
static int learn_shape(Shape *shape, PyObject *type)
{
    Py_ssize_t count = count_of(shape), size = (Py_ssize_t)sizeof(PyObject);
    if (!PyType_Check(type)) return 0;
    shape->type = (PyTypeObject *)type;
    for (int i = 0; i < count; i++)
        if (!(shape->offsets[i] = offset_of(type, shape->slots[i]))) return 0;
    return shape->type->tp_basicsize == size + count * (Py_ssize_t)sizeof(PyObject *);
}

static PyObject *prepare(PyObject *module, PyObject *arguments)
{
    PyObject *names, *known_methods, *types, *written, *known, *name;
    Py_ssize_t place = 0;
    int field;
    if (!PyArg_ParseTuple(arguments, "O!O!O!", &PyDict_Type, &names, &PyDict_Type, &known_methods,
                          &PyTuple_Type, &types))
        return NULL;
    if (methods || PyDict_GET_SIZE(names) > MOST_HEADERS / 2 || PyTuple_GET_SIZE(types) != KINDS) {
        PyErr_SetString(PyExc_ValueError, "prepare: once, with fewer names and all types");
        return NULL;
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (!learn_shape(&shapes[kind], PyTuple_GET_ITEM(types, kind))) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "prepare: a class with other slots");
            return NULL;
        }
    while (PyDict_Next(names, &place, &written, &known)) {
        if (!PyArg_ParseTuple(known, "Si", &name, &field)) return NULL;
        if (!PyBytes_Check(written) || !learn(written, name, field)) {
            PyErr_SetString(PyExc_ValueError, "prepare: a name that cannot be learnt");
            return NULL;
        }
    }
    Py_INCREF(types); /* for ever */
    methods = Py_NewRef(known_methods);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"prepare", prepare, METH_VARARGS, "Take the tables and types that messages are made with."},
    {"message", (PyCFunction)(void (*)(void))scan_message, METH_FASTCALL, "Read a message."},
    {"end", (PyCFunction)(void (*)(void))scan_end, METH_FASTCALL, "Find where a message ends."},
    {"uri", scan_uri, METH_O, "Read a URI."},
    {"address", scan_address, METH_O, "Read a value of From, To or Contact."},
    {"digest", scan_digest, METH_O, "Read the parameters of credentials, or of a challenge."},
    {"params", scan_params, METH_O, "Read the parameters of a header."},
    {"field", (PyCFunction)(void (*)(void))scan_field, METH_FASTCALL, "Find a header's value."},
    {"select", (PyCFunction)(void (*)(void))scan_select, METH_FASTCALL, "Choose among headers."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_scan", "Ordinary messages, read in one walk.", -1, functions,
};

PyMODINIT_FUNC PyInit__scan(void)
{
    fill_kinds();
    empty = PyBytes_FromString("");
    scheme_sip = PyBytes_FromString("sip");
    scheme_sips = PyBytes_FromString("sips");
    version_2 = PyBytes_FromString("SIP/2.0");
    name_branch = PyBytes_FromString("branch");
    port_sip = PyLong_FromLong(5060);
    port_sips = PyLong_FromLong(5061);
    if (!empty || !scheme_sip || !scheme_sips || !version_2 || !name_branch) return NULL;
    return port_sip && port_sips ? PyModule_Create(&definition) : NULL;
}
