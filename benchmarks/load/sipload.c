/* sipload: a load generator for SIP by UDP, TCP and TLS, one process, against any server.
 *
 * It plays both sides: who sends, and who is registered or watches. First what the operation needs
 * is set up (users registered, states published, watchers subscribed), then so many operations are
 * sent and counted, then the server is left alone for a while. The last line, JSON, tells what was
 * sent, answered and received, how long it took, and the CPU time of the server's processes.
 * It sends to 127.0.0.0/8 alone, and ends by itself (--max-time).
 *
 * cc -O2 -o sipload sipload.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/md5.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { UDP, TCP, TLS };
static const char *TN[] = {"UDP", "TCP", "TLS"}, *tn[] = {"udp", "tcp", "tls"};
static struct {
    const char *host, *domain, *pass, *op;
    int port, tr;
    long users, count, watchers, presentities, window, setup_window, bodysz, expires, conns, pid;
    double rate, pause, settle, maxtime, op_timeout;
    int prepub, verbose;
} C = {.host = "127.0.0.1",
       .domain = "example.test",
       .op = "register",
       .port = 5060,
       .tr = UDP,
       .users = 1000,
       .count = 1000,
       .watchers = 1,
       .presentities = 1,
       .window = 64,
       .setup_window = 64,
       .bodysz = 100,
       .expires = 3600,
       .conns = 1,
       .pause = 0.3,
       .settle = 0.2,
       .maxtime = 120,
       .op_timeout = 32};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + t.tv_nsec / 1000;
}

/* ---------- CPU of a process and its children, in us ---------- */
/* All threads of a process, to the nanosecond (proc(5) calls it time on the CPU); -1 where the
 * kernel does not tell. */
static double exact_cpu(long pid) {
    char p[600], b[128];
    snprintf(p, sizeof p, "/proc/%ld/task", pid);
    DIR *d = opendir(p);
    struct dirent *e;
    double t = -1;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(p, sizeof p, "/proc/%ld/task/%s/schedstat", pid, e->d_name);
        int f = open(p, O_RDONLY);
        int k = f < 0 ? 0 : read(f, b, sizeof b - 1);
        if (f >= 0)
            close(f);
        if (k > 0)
            t = (t < 0 ? 0 : t) + strtoull((b[k] = 0, b), NULL, 10) / 1e3;
    }
    if (d)
        closedir(d);
    return t;
}
static double tree_cpu(long root, int *nproc) {
    if (root <= 0) {
        if (nproc)
            *nproc = 0;
        return 0;
    }
    static long pid[65536], ppid[65536];
    static double cpu[65536];
    static char in[65536];
    int n = 0;
    DIR *d = opendir("/proc");
    struct dirent *e;
    char p[300], b[2048];
    while ((e = readdir(d)) && n < 65536) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(p, sizeof p, "/proc/%s/stat", e->d_name);
        int f = open(p, O_RDONLY);
        if (f < 0)
            continue;
        int k = read(f, b, sizeof b - 1);
        close(f);
        if (k <= 0)
            continue;
        b[k] = 0;
        char *q = strrchr(b, ')');
        long pp;
        unsigned long ut, st;
        char s;
        if (!q || sscanf(q + 2, "%c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &s, &pp, &ut,
                         &st) != 4)
            continue;
        pid[n] = atol(e->d_name);
        ppid[n] = pp;
        cpu[n] = (double)(ut + st) * 1e6 / sysconf(_SC_CLK_TCK);
        in[n] = (pid[n] == root);
        n++;
    }
    closedir(d);
    for (int ch = 1; ch;) {
        ch = 0;
        for (int i = 0; i < n; i++)
            if (!in[i])
                for (int j = 0; j < n; j++)
                    if (in[j] && pid[j] == ppid[i]) {
                        in[i] = 1;
                        ch = 1;
                        break;
                    }
    }
    double t = 0;
    int c = 0;
    for (int i = 0; i < n; i++)
        if (in[i]) {
            double x = exact_cpu(pid[i]);
            t += x < 0 ? cpu[i] : x;
            c++;
        }
    if (nproc)
        *nproc = c;
    return t;
}
static double self_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* ---------- channels ---------- */
typedef struct {
    int fd, lport;
    SSL *ssl;
    char *rb;
    int rl, rcap;
    char *wb;
    int wl, wcap;
    int wantw;
} chan;
static chan *uac, *uas;
static int ep;
static SSL_CTX *ctx;
static long st_drop_send;
static const char *pp = "pres", *up = "user"; /* how presentities and users are called */
static int refreshes; /* the REGISTERs counted refresh what the setup has registered */
static void nb(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static void chan_open(chan *c) {
    memset(c, 0, sizeof *c);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(C.port)};
    inet_pton(AF_INET, C.host, &a.sin_addr);
    c->fd = socket(AF_INET, C.tr == UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
    int v = 4 << 20;
    if (C.tr == UDP) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof v);
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &v, sizeof v);
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof v);
    }
    struct sockaddr_in l = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &l.sin_addr);
    if (bind(c->fd, (void *)&l, sizeof l)) {
        perror("bind");
        exit(2);
    }
    if (connect(c->fd, (void *)&a, sizeof a)) {
        perror("connect");
        exit(2);
    }
    socklen_t sl = sizeof l;
    getsockname(c->fd, (void *)&l, &sl);
    c->lport = ntohs(l.sin_port);
    if (C.tr != UDP) {
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->rcap = 1 << 18;
        c->rb = malloc(c->rcap + 1);
        c->wcap = 1 << 16;
        c->wb = malloc(c->wcap);
    }
    if (C.tr == TLS) {
        c->ssl = SSL_new(ctx);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        if (SSL_connect(c->ssl) != 1) {
            ERR_print_errors_fp(stderr);
            exit(2);
        }
    }
    nb(c->fd);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
static void chan_want(chan *c, int w) {
    if (c->wantw == w)
        return;
    c->wantw = w;
    struct epoll_event e = {.events = EPOLLIN | (w ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}
static int raw_write(chan *c, const char *b, int n) {
    if (c->ssl) {
        int r = SSL_write(c->ssl, b, n);
        if (r <= 0) {
            int e = SSL_get_error(c->ssl, r);
            if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ)
                return 0;
            fprintf(stderr, "ssl write err %d\n", e);
            exit(2);
        }
        return r;
    }
    int r = write(c->fd, b, n);
    if (r < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        perror("write");
        exit(2);
    }
    return r;
}
static void chan_flush(chan *c) {
    int o = 0;
    while (o < c->wl) {
        int r = raw_write(c, c->wb + o, c->wl - o);
        if (!r)
            break;
        o += r;
    }
    memmove(c->wb, c->wb + o, c->wl - o);
    c->wl -= o;
    chan_want(c, c->wl > 0);
}
static void chan_send(chan *c, const char *b, int n) {
    if (C.tr == UDP) {
        for (int k = 0; k < 50; k++) {
            int r = send(c->fd, b, n, 0);
            if (r == n)
                return;
            if (errno == ECONNREFUSED)
                continue;
            if (errno == EAGAIN || errno == ENOBUFS) {
                usleep(100);
                continue;
            }
            break;
        }
        st_drop_send++;
        return;
    }
    int o = 0;
    if (c->wl == 0)
        o = raw_write(c, b, n);
    if (o < n) {
        while (c->wl + n - o > c->wcap) {
            c->wcap *= 2;
            c->wb = realloc(c->wb, c->wcap);
        }
        memcpy(c->wb + c->wl, b + o, n - o);
        c->wl += n - o;
        chan_want(c, 1);
    }
}

/* ---------- header helpers (case-insensitive, compact forms) ---------- */
static const char *hdr(const char *m, const char *name, char compact, int *len) {
    size_t nl = strlen(name);
    const char *p = strstr(m, "\r\n");
    while (p) {
        p += 2;
        if (*p == '\r' || !*p)
            return NULL;
        if ((!strncasecmp(p, name, nl) && (p[nl] == ':' || p[nl] == ' ')) ||
            (compact && (p[0] | 32) == compact && p[1] == ':')) {
            const char *v = strchr(p, ':') + 1;
            while (*v == ' ')
                v++;
            const char *e = strstr(v, "\r\n");
            if (!e)
                return NULL;
            *len = e - v;
            return v;
        }
        p = strstr(p, "\r\n");
    }
    return NULL;
}
static int param(const char *h, int hl, const char *k, char *out, int cap) {
    char b[4096];
    if (hl > 4000)
        hl = 4000;
    memcpy(b, h, hl);
    b[hl] = 0;
    size_t kl = strlen(k);
    for (char *p = b; (p = strcasestr(p, k)); p += kl) {
        if (p != b && p[-1] != ' ' && p[-1] != ',')
            continue;
        if (p[kl] != '=')
            continue;
        p += kl + 1;
        char *e;
        if (*p == '"') {
            p++;
            e = strchr(p, '"');
        } else
            e = p + strcspn(p, ", ");
        if (!e)
            return 0;
        int n = e - p;
        if (n >= cap)
            n = cap - 1;
        memcpy(out, p, n);
        out[n] = 0;
        return 1;
    }
    return 0;
}

/* ---------- ops ---------- */
typedef struct {
    uint64_t t0, tl;
    uint32_t rto;
    int16_t code;
    uint8_t state, att, retr, seen;
    uint32_t notif;
    char *auth;
} op; /* state 0 new 1 out 2 done 3 fail */
typedef struct {
    char kind;
    long n;
    op *o;
    long sent, done, fail, outst, retr;
    long *ol;
    long code[700];
    uint64_t t_start, t_end;
    uint32_t *lat;
    long nlat;
    long dup_req, notify, notify_stale, notify_nobody, recv_msg, auth_chal;
} phase;
static phase *P;
static unsigned run_id;
static char **etag;
static uint32_t *sub_cseq;
static long nsub;
static long pub_base;
static uint8_t *sub_first;
static char **user_nonce;
static uint32_t *user_nc;
static char g_realm[128], g_qop[32], g_opaque[128];
static long tot_dup_notify;

static void md5hex(char *out, const char *fmt, ...) {
    char b[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof b, fmt, ap);
    va_end(ap);
    unsigned char d[16];
    MD5((unsigned char *)b, n, d);
    for (int i = 0; i < 16; i++)
        sprintf(out + 2 * i, "%02x", d[i]);
}
static char *mk_auth(const char *hname, const char *user, const char *method, const char *uri,
                     const char *realm, const char *nonce, const char *qop, const char *opaque,
                     unsigned nc) {
    char a1[33], a2[33], r[33], b[1536];
    md5hex(a1, "%s:%s:%s", user, realm, C.pass ? C.pass : "");
    md5hex(a2, "%s:%s", method, uri);
    int n;
    if (qop[0]) {
        md5hex(r, "%s:%s:%08x:0a4f113b:auth:%s", a1, nonce, nc, a2);
        n = snprintf(b, sizeof b,
                     "%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
                     "response=\"%s\", algorithm=MD5, cnonce=\"0a4f113b\", qop=auth, nc=%08x",
                     hname, user, realm, nonce, uri, r, nc);
    } else {
        md5hex(r, "%s:%s:%s", a1, nonce, a2);
        n = snprintf(b, sizeof b,
                     "%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
                     "response=\"%s\", algorithm=MD5",
                     hname, user, realm, nonce, uri, r);
    }
    if (opaque[0])
        n += snprintf(b + n, sizeof b - n, ", opaque=\"%s\"", opaque);
    snprintf(b + n, sizeof b - n, "\r\n");
    return strdup(b);
}

static long user_of(char kind, long i) {
    return kind == 'R' || kind == 'Q' ? i % C.users : kind == 'M' ? (i + 1) % C.users : i;
}
static void who(char kind, long i, char *u) {
    switch (kind) {
    case 'R':
    case 'Q':
        sprintf(u, "%s%06ld", up, i % C.users);
        break;
    case 'M':
        sprintf(u, "%s%06ld", up, (i + 1) % C.users);
        break;
    case 'S':
        sprintf(u, "watcher%06ld", i);
        break;
    default:
        sprintf(u, "%s%06ld", pp, i % C.presentities);
    }
}
static void target(char kind, long i, char *t) {
    switch (kind) {
    case 'R':
    case 'Q':
        sprintf(t, "sip:%s", C.domain);
        break;
    case 'M':
        sprintf(t, "sip:%s%06ld@%s", up, i % C.users, C.domain);
        break;
    default:
        sprintf(t, "sip:%s%06ld@%s", pp, i % C.presentities, C.domain);
    }
}
static const char *meth(char k) {
    return k == 'R' || k == 'Q' ? "REGISTER"
           : k == 'M'           ? "MESSAGE"
           : k == 'S'           ? "SUBSCRIBE"
                                : "PUBLISH";
}
static chan *ch_of(char k, long i) {
    long u = user_of(k, i);
    return (k == 'R' || k == 'Q' || k == 'S') ? &uas[u % C.conns] : &uac[u % C.conns];
}
static char lorem[65536];

static int build(char k, long i, op *o, char *b, int cap) {
    char u[64], t[160];
    who(k, i, u);
    target(k, i, t);
    chan *c = ch_of(k, i);
    const char *m = meth(k);
    char body[70000];
    int bl = 0;
    const char *ct = "";
    if (k == 'M') {
        bl = snprintf(body, sizeof body, "%.*s", (int)C.bodysz, lorem);
        ct = "Content-Type: text/plain\r\n";
    }
    if (k == 'P' || k == 'I') {
        ct = "Content-Type: application/pidf+xml\r\n";
        bl = snprintf(
            body, sizeof body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence "
            "xmlns=\"urn:ietf:params:xml:ns:pidf\" "
            "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" "
            "xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"%s\">\r\n"
            " <tuple id=\"t%06ld\">\r\n  <status><basic>%s</basic></status>\r\n  "
            "<contact>sip:%s@%s</contact>\r\n  <note>seq=%ld;</note>\r\n </tuple>\r\n <dm:person "
            "id=\"p1\"><rpid:activities><rpid:%s/></rpid:activities></dm:person>\r\n</"
            "presence>\r\n",
            t, i % C.presentities, i & 1 ? "open" : "closed", u, C.domain,
            (k == 'P' ? pub_base : 0) + i, i & 1 ? "away" : "busy");
    }
    int n = snprintf(b, cap,
                     "%s %s SIP/2.0\r\nVia: SIP/2.0/%s "
                     "127.0.0.1:%d;rport;branch=z9hG4bK%08x-%c%ldx%d\r\nMax-Forwards: 70\r\nFrom: "
                     "\"%s\" <sip:%s@%s>;tag=%x%c%ld\r\n",
                     m, t, TN[C.tr], c->lport, run_id, k, i, o->att, u, u, C.domain, run_id, k, i);
    if (k == 'R' || k == 'Q')
        n += snprintf(b + n, cap - n, "To: <sip:%s@%s>\r\n", u, C.domain);
    else
        n += snprintf(b + n, cap - n, "To: <%s>\r\n", t);
    n += snprintf(b + n, cap - n, "Call-ID: %08x-%c%ld@127.0.0.1\r\nCSeq: %ld %s\r\n", run_id,
                  (k == 'Q') ? 'R' : k, (k == 'R' || k == 'Q') ? i % C.users : i,
                  ((k == 'R' || k == 'Q') ? (i / C.users) * 4 : 0) +
                      (k == 'R' && refreshes ? 1000 : 0) + o->att + 1,
                  m);
    if (k == 'R' || k == 'Q' || k == 'S') {
        n += snprintf(b + n, cap - n, "Contact: <sip:%s@127.0.0.1:%d%s%s>", u, c->lport,
                      C.tr == UDP ? "" : ";transport=", C.tr == UDP ? "" : tn[C.tr]);
        if (k != 'S')
            n += snprintf(b + n, cap - n,
                          ";+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-%012lx>\"",
                          i % C.users);
        n += snprintf(b + n, cap - n, "\r\n");
    }
    if (k != 'M')
        n += snprintf(b + n, cap - n, "Expires: %ld\r\n", C.expires);
    if (k == 'S')
        n += snprintf(b + n, cap - n, "Event: presence\r\nAccept: application/pidf+xml\r\n");
    if (k == 'P' || k == 'I') {
        n += snprintf(b + n, cap - n, "Event: presence\r\n");
        if (k == 'P' && etag[i % C.presentities])
            n += snprintf(b + n, cap - n, "SIP-If-Match: %s\r\n", etag[i % C.presentities]);
    }
    if (o->auth)
        n += snprintf(b + n, cap - n, "%s", o->auth);
    n += snprintf(b + n, cap - n,
                  "User-Agent: sipload/1.0 (bench)\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, "
                  "MESSAGE, NOTIFY\r\n%sContent-Length: %d\r\n\r\n",
                  ct, bl);
    memcpy(b + n, body, bl);
    return n + bl;
}

static void tx(long i, int retr) {
    static char b[80000];
    op *o = &P->o[i];
    int n = build(P->kind, i, o, b, sizeof b - 1);
    b[n] = 0;
    if (C.verbose && i < 2)
        fprintf(stderr, ">>>\n%s\n", b);
    uint64_t t = now_us();
    if (!retr) {
        o->tl = t;
        o->rto = 500000;
    } else {
        o->retr++;
        P->retr++;
        o->tl = t;
        o->rto = o->rto * 2 > 4000000 ? 4000000 : o->rto * 2;
    }
    chan_send(ch_of(P->kind, i), b, n);
}
static long pend_need(char k, long i) {
    (void)i;
    return k == 'S' ? 1 : k == 'P' ? C.watchers : 0;
}
static void maybe_done(long i) {
    op *o = &P->o[i];
    if (o->state != 1)
        return;
    if (o->code / 100 == 2 && o->notif >= pend_need(P->kind, i)) {
        o->state = 2;
        P->done++;
        P->outst--;
        uint64_t d = now_us() - o->t0;
        P->lat[P->nlat++] = d > 4000000000u ? 4000000000u : d;
        free(o->auth);
        o->auth = NULL;
        P->t_end = now_us();
    }
}
static void failop(long i, int code) {
    op *o = &P->o[i];
    if (o->state != 1)
        return;
    o->state = 3;
    P->fail++;
    P->outst--;
    P->code[code >= 0 && code < 700 ? code : 699]++;
    P->t_end = now_us();
    free(o->auth);
    o->auth = NULL;
}

static char nrb[16384];
static void reply200(chan *c, const char *m) {
    int n = sprintf(nrb, "SIP/2.0 200 OK\r\n");
    const char *p = strstr(m, "\r\n");
    while (p) {
        p += 2;
        if (*p == '\r' || !*p)
            break;
        const char *e = strstr(p, "\r\n");
        if (!e)
            break;
        int l = e - p;
        int col = strcspn(p, ":");
        char h[24];
        int hl = col;
        while (hl > 0 && p[hl - 1] == ' ')
            hl--;
        if (hl < 20) {
            memcpy(h, p, hl);
            h[hl] = 0;
        } else
            h[0] = 0;
        int isto = !strcasecmp(h, "to") || !strcasecmp(h, "t");
        if (!strcasecmp(h, "via") || !strcasecmp(h, "v") || !strcasecmp(h, "from") ||
            !strcasecmp(h, "f") || isto || !strcasecmp(h, "call-id") || !strcasecmp(h, "i") ||
            !strcasecmp(h, "cseq") || !strcasecmp(h, "record-route")) {
            memcpy(nrb + n, p, l);
            n += l;
            if (isto && !memmem(p, l, ";tag=", 5))
                n += sprintf(nrb + n, ";tag=uas%x", run_id);
            n += sprintf(nrb + n, "\r\n");
        }
        p = e;
    }
    n += sprintf(nrb + n, "User-Agent: sipload/1.0 (bench)\r\nContent-Length: 0\r\n\r\n");
    chan_send(c, nrb, n);
}

static void on_msg(chan *c, char *m, int len) {
    (void)len;
    int hl;
    if (C.verbose > 1)
        fprintf(stderr, "<<<\n%s\n", m);
    if (!strncmp(m, "SIP/2.0 ", 8)) {
        int code = atoi(m + 8);
        const char *v = hdr(m, "Via", 'v', &hl);
        if (!v || !P)
            return;
        char br[40];
        sprintf(br, "z9hG4bK%08x-", run_id);
        const char *q = memmem(v, hl, br, strlen(br));
        if (!q)
            return;
        q += strlen(br);
        char k = *q;
        char *e;
        long i = strtol(q + 1, &e, 10);
        int att = atoi(e + 1);
        if (k != P->kind || i < 0 || i >= P->n)
            return;
        op *o = &P->o[i];
        if (o->state != 1 || att != o->att || o->code) {
            return;
        }
        if (code < 200) {
            o->rto = 4000000;
            return;
        }
        if ((code == 401 || code == 407) && C.pass && o->att < 2) {
            const char *h = code == 401 ? hdr(m, "WWW-Authenticate", 0, &hl)
                                        : hdr(m, "Proxy-Authenticate", 0, &hl);
            if (!h) {
                failop(i, code);
                return;
            }
            char realm[128] = "", nonce[600] = "", qop[64] = "", opq[128] = "", u[64], t[160];
            param(h, hl, "realm", realm, 128);
            param(h, hl, "nonce", nonce, 600);
            param(h, hl, "qop", qop, 64);
            param(h, hl, "opaque", opq, 128);
            who(k, i, u);
            target(k, i, t);
            free(o->auth);
            o->auth = mk_auth(code == 401 ? "Authorization" : "Proxy-Authorization", u, meth(k), t,
                              realm, nonce, qop, opq, 1);
            o->att++;
            P->auth_chal++;
            if ((k == 'R') && user_nonce) {
                long x = i % C.users;
                free(user_nonce[x]);
                user_nonce[x] = strdup(nonce);
                user_nc[x] = 1;
                strcpy(g_realm, realm);
                strcpy(g_qop, qop);
                strcpy(g_opaque, opq);
            }
            tx(i, 0);
            return;
        }
        if (code >= 300) {
            failop(i, code);
            return;
        }
        o->code = code;
        P->code[code]++;
        if (k == 'P' || k == 'I') {
            const char *h = hdr(m, "SIP-ETag", 0, &hl);
            if (h) {
                long p = i % C.presentities;
                free(etag[p]);
                etag[p] = strndup(h, hl);
            }
        }
        maybe_done(i);
        return;
    }
    const char *ci = hdr(m, "Call-ID", 'i', &hl);
    if (!ci)
        return;
    char pre[16];
    sprintf(pre, "%08x-", run_id);
    if (!strncmp(m, "MESSAGE ", 8)) {
        reply200(c, m);
        if (!P)
            return;
        if (P->kind == 'M' && !strncmp(ci, pre, 9) && ci[9] == 'M') {
            long i = atol(ci + 10);
            P->recv_msg++;
            if (i >= 0 && i < P->n) {
                if (P->o[i].seen)
                    P->dup_req++;
                P->o[i].seen = 1;
            }
        }
        return;
    }
    if (!strncmp(m, "NOTIFY ", 7)) {
        reply200(c, m);
        if (strncmp(ci, pre, 9) || ci[9] != 'S')
            return;
        long j = atol(ci + 10);
        const char *cs = hdr(m, "CSeq", 0, &hl);
        uint32_t q = cs ? strtoul(cs, NULL, 10) : 0;
        if (j < 0 || j >= nsub)
            return;
        if (sub_first[j] && q <= sub_cseq[j]) {
            tot_dup_notify++;
            if (P)
                P->dup_req++;
            return;
        }
        sub_cseq[j] = q;
        sub_first[j] = 1;
        if (!P)
            return;
        P->notify++;
        if (P->kind == 'S') {
            if (j < P->n) {
                P->o[j].notif++;
                maybe_done(j);
            }
            return;
        }
        if (P->kind == 'P') {
            char *s = strstr(m, "\r\n\r\n");
            s = s ? strstr(s, "seq=") : NULL;
            if (!s) {
                P->notify_nobody++;
                return;
            }
            long sq = atol(s + 4) - pub_base;
            if (sq < 0 || sq >= P->n || P->o[sq].state != 1 ||
                sq % C.presentities != j % C.presentities) {
                P->notify_stale++;
                return;
            }
            P->o[sq].notif++;
            maybe_done(sq);
        }
        return;
    }
    if (!strncmp(m, "OPTIONS ", 8))
        reply200(c, m);
}
static void chan_read(chan *c) {
    static char b[65537];
    if (C.tr == UDP) {
        for (int k = 0; k < 64; k++) {
            int r = recv(c->fd, b, 65536, 0);
            if (r <= 0)
                return;
            b[r] = 0;
            if (r < 20)
                continue;
            on_msg(c, b, r);
        }
        return;
    }
    for (int k = 0; k < 4; k++) {
        int r = c->ssl ? SSL_read(c->ssl, c->rb + c->rl, c->rcap - c->rl)
                       : read(c->fd, c->rb + c->rl, c->rcap - c->rl);
        if (r <= 0) {
            if (c->ssl) {
                int e = SSL_get_error(c->ssl, r);
                if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
                    return;
            } else if (r < 0 && (errno == EAGAIN || errno == EINTR))
                return;
            fprintf(stderr, "connection closed by server\n");
            exit(3);
        }
        c->rl += r;
        int o = 0;
        c->rb[c->rl] = 0;
        for (;;) {
            while (o < c->rl && (c->rb[o] == '\r' || c->rb[o] == '\n'))
                o++;
            char *h = memmem(c->rb + o, c->rl - o, "\r\n\r\n", 4);
            if (!h)
                break;
            char sv = h[4];
            h[4] = 0;
            int l;
            const char *cl = hdr(c->rb + o, "Content-Length", 'l', &l);
            int n = cl ? atoi(cl) : 0;
            h[4] = sv;
            int tot = h + 4 - (c->rb + o) + n;
            if (o + tot > c->rl)
                break;
            sv = c->rb[o + tot];
            c->rb[o + tot] = 0;
            on_msg(c, c->rb + o, tot);
            c->rb[o + tot] = sv;
            o += tot;
        }
        memmove(c->rb, c->rb + o, c->rl - o);
        c->rl -= o;
        if (c->ssl ? !SSL_pending(c->ssl) && r < 16384 : r < c->rcap / 2)
            return;
    }
}
static void poll_once(int ms) {
    struct epoll_event ev[64];
    int n = epoll_wait(ep, ev, 64, ms);
    for (int i = 0; i < n; i++) {
        chan *c = ev[i].data.ptr;
        if (ev[i].events & EPOLLOUT)
            chan_flush(c);
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            chan_read(c);
    }
}

static void run_phase(phase *ph, char kind, long n, long window, double rate, double maxtime) {
    memset(ph, 0, sizeof *ph);
    ph->kind = kind;
    ph->n = n;
    ph->o = calloc(n, sizeof(op));
    ph->lat = malloc(sizeof(uint32_t) * (n + 1));
    P = ph;
    ph->t_start = ph->t_end = now_us();
    long first = 0; /* all ops < first are finished */
    uint64_t tscan = now_us();
    uint64_t deadline = ph->t_start + (uint64_t)(maxtime * 1e6);
    while (ph->done + ph->fail < n) {
        uint64_t t = now_us();
        if (t > deadline) {
            break;
        }
        long lim = window - ph->outst;
        if (rate > 0) {
            long due = (long)((t - ph->t_start) / 1e6 * rate) + 1 - ph->sent;
            if (due < lim)
                lim = due;
        }
        if (lim > 64 && rate > 0)
            lim = 64;
        if (lim > 256)
            lim = 256;
        while (lim-- > 0 && ph->sent < n) {
            long i = ph->sent;
            if (kind == 'P' && i >= C.presentities && ph->o[i - C.presentities].state < 2)
                break;
            ph->sent++;
            op *o = &ph->o[i];
            o->state = 1;
            o->t0 = now_us();
            ph->outst++;
            if (kind == 'R' && user_nonce) {
                long x = i % C.users;
                if (user_nonce[x]) {
                    char u[64], tg[160];
                    who(kind, i, u);
                    target(kind, i, tg);
                    o->auth = mk_auth("Authorization", u, "REGISTER", tg, g_realm, user_nonce[x],
                                      g_qop, g_opaque, ++user_nc[x]);
                }
            }
            tx(i, 0);
        }
        int ms = ph->outst >= window || ph->sent >= n ? 20 : (rate > 0 ? 1 : 0);
        if (kind == 'P' && ms == 0)
            ms = 1;
        poll_once(ms);
        t = now_us();
        if (t - tscan > 50000) {
            tscan = t;
            while (first < ph->sent && ph->o[first].state >= 2)
                first++;
            for (long i = first; i < ph->sent; i++) {
                op *o = &ph->o[i];
                if (o->state != 1)
                    continue;
                if (t - o->t0 > C.op_timeout * 1e6) {
                    failop(i, 699);
                    continue;
                }
                if (C.tr == UDP && !o->code && t - o->tl > o->rto)
                    tx(i, 1);
            }
        }
    }
    if (ph->done + ph->fail < n)
        for (long i = 0; i < ph->sent; i++)
            if (ph->o[i].state == 1)
                failop(i, 698);
}
static int cmpu(const void *a, const void *b) {
    uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b;
    return x < y ? -1 : x > y;
}
static void drain(double s) {
    uint64_t e = now_us() + (uint64_t)(s * 1e6);
    while (now_us() < e)
        poll_once(20);
}
static int setup_fail(phase *p, const char *what) {
    if (p->done != p->n) {
        fprintf(stderr, "setup %s: %ld/%ld done, %ld failed, retr %ld\n", what, p->done, p->n,
                p->fail, p->retr);
        for (int i = 0; i < 700; i++)
            if (p->code[i])
                fprintf(stderr, " code %d: %ld\n", i, p->code[i]);
    }
    free(p->o);
    free(p->lat);
    P = NULL;
    return p->done != p->n;
}
static void usage(void) {
    fputs("sipload --op register|refresh|message|subscribe|publish\n"
          "  --host 127.0.0.1 --port 5060 --domain example.test --transport udp|tcp|tls\n"
          "  --count N          operations that are counted\n"
          "  --window W         of them outstanding at most; --setup-window W: while setting up\n"
          "  --rate R           operations a second; 0: as fast as answers come\n"
          "  --users N          addresses-of-record (register, refresh, message)\n"
          "  --user-prefix S    user000000 and up; --pres-prefix S: pres000000 and up\n"
          "  --pass PW          digest, with MD5, is answered by this password\n"
          "  --presentities P   (subscribe, publish); --watchers W: of each (publish)\n"
          "  --prepublish       the presentities have a state (subscribe)\n"
          "  --body N           octets of a MESSAGE; --conns N: connections of each side\n"
          "  --expires S        of bindings, subscriptions and publications\n"
          "  --pid PID          the server: its CPU time is told, its children's with it\n"
          "  --pause S          before counting, twice; --settle S: after it\n"
          "  --max-time S --op-timeout S -v\n",
          stderr);
    exit(2);
}
int main(int ac, char **av) {
    static struct option L[] = {{"op", 1, 0, 'o'},
                                {"host", 1, 0, 'h'},
                                {"port", 1, 0, 'p'},
                                {"domain", 1, 0, 'd'},
                                {"transport", 1, 0, 't'},
                                {"users", 1, 0, 'u'},
                                {"count", 1, 0, 'c'},
                                {"window", 1, 0, 'w'},
                                {"rate", 1, 0, 'r'},
                                {"pass", 1, 0, 'P'},
                                {"presentities", 1, 0, 'e'},
                                {"watchers", 1, 0, 'W'},
                                {"prepublish", 0, 0, 'b'},
                                {"body", 1, 0, 'B'},
                                {"conns", 1, 0, 'n'},
                                {"expires", 1, 0, 'x'},
                                {"pid", 1, 0, 'i'},
                                {"settle", 1, 0, 's'},
                                {"max-time", 1, 0, 'm'},
                                {"op-timeout", 1, 0, 'T'},
                                {"pause", 1, 0, 'a'},
                                {"setup-window", 1, 0, 'S'},
                                {"user-prefix", 1, 0, 'U'},
                                {"pres-prefix", 1, 0, 'f'},
                                {0, 0, 0, 0}};
    int k;
    while ((k = getopt_long(ac, av, "v", L, NULL)) != -1)
        switch (k) {
        case 'o':
            C.op = optarg;
            break;
        case 'h':
            C.host = optarg;
            break;
        case 'p':
            C.port = atoi(optarg);
            break;
        case 'd':
            C.domain = optarg;
            break;
        case 't':
            C.tr = !strcasecmp(optarg, "tcp") ? TCP : !strcasecmp(optarg, "tls") ? TLS : UDP;
            break;
        case 'u':
            C.users = atol(optarg);
            break;
        case 'c':
            C.count = atol(optarg);
            break;
        case 'w':
            C.window = atol(optarg);
            break;
        case 'r':
            C.rate = atof(optarg);
            break;
        case 'P':
            C.pass = optarg;
            break;
        case 'e':
            C.presentities = atol(optarg);
            break;
        case 'W':
            C.watchers = atol(optarg);
            break;
        case 'b':
            C.prepub = 1;
            break;
        case 'B':
            C.bodysz = atol(optarg);
            break;
        case 'n':
            C.conns = atol(optarg);
            break;
        case 'x':
            C.expires = atol(optarg);
            break;
        case 'i':
            C.pid = atol(optarg);
            break;
        case 's':
            C.settle = atof(optarg);
            break;
        case 'm':
            C.maxtime = atof(optarg);
            break;
        case 'T':
            C.op_timeout = atof(optarg);
            break;
        case 'a':
            C.pause = atof(optarg);
            break;
        case 'S':
            C.setup_window = atol(optarg);
            break;
        case 'U':
            up = optarg;
            break;
        case 'f':
            pp = optarg;
            break;
        case 'v':
            C.verbose++;
            break;
        default:
            usage();
        }
    if (strncmp(C.host, "127.", 4)) {
        fprintf(stderr, "loopback only\n");
        return 2;
    }
    for (int i = 0; i < (int)sizeof lorem; i++)
        lorem[i] = "the quick brown fox jumps over the lazy dog "[i % 44];
    if (C.bodysz > 60000)
        C.bodysz = 60000;
    run_id = (unsigned)(now_us() * 2654435761u) ^ getpid();
    ep = epoll_create1(0);
    if (C.tr == TLS) {
        ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    }
    uac = calloc(C.conns, sizeof(chan));
    uas = calloc(C.conns, sizeof(chan));
    for (int i = 0; i < C.conns; i++) {
        chan_open(&uac[i]);
        chan_open(&uas[i]);
    }
    char kind;
    long n = C.count;
    phase ph;
    etag = calloc(C.presentities, sizeof(char *));
    if (!strcmp(C.op, "register")) {
        kind = 'R';
        if (C.count > C.users && C.pass) {
            user_nonce = calloc(C.users, sizeof(char *));
            user_nc = calloc(C.users, 4);
        }
    } else if (!strcmp(C.op, "refresh")) {
        kind = 'R';
        refreshes = 1;
        run_phase(&ph, 'Q', C.users, C.setup_window, 0, C.maxtime);
        if (setup_fail(&ph, "register"))
            return 4;
    } else if (!strcmp(C.op, "message")) {
        kind = 'M';
        run_phase(&ph, 'Q', C.users, C.setup_window, 0, C.maxtime);
        if (setup_fail(&ph, "register"))
            return 4;
    } else if (!strcmp(C.op, "subscribe")) {
        kind = 'S';
        nsub = n;
        sub_cseq = calloc(n, 4);
        sub_first = calloc(n, 1);
        if (C.prepub) {
            run_phase(&ph, 'I', C.presentities, C.setup_window, 0, C.maxtime);
            if (setup_fail(&ph, "publish"))
                return 4;
        }
    } else if (!strcmp(C.op, "publish")) {
        kind = 'P';
        pub_base = 1000000000;
        nsub = C.watchers * C.presentities;
        sub_cseq = calloc(nsub + 1, 4);
        sub_first = calloc(nsub + 1, 1);
        run_phase(&ph, 'I', C.presentities, C.setup_window, 0, C.maxtime);
        if (setup_fail(&ph, "publish"))
            return 4;
        if (nsub) {
            run_phase(&ph, 'S', nsub, C.setup_window, 0, C.maxtime);
            if (setup_fail(&ph, "subscribe"))
                return 4;
        }
    } else
        usage();
    drain(C.pause);
    int np = 0;
    uint64_t ti = now_us();
    double ci = tree_cpu(C.pid, &np);
    drain(C.pause);
    double c0 = tree_cpu(C.pid, &np);
    double idle = (c0 - ci) / ((now_us() - ti) / 1e6);
    double s0 = self_cpu();
    puts("counting"); /* whoever waits for it may begin something beside */
    fflush(stdout);
    run_phase(&ph, kind, n, C.window, C.rate, C.maxtime);
    double c1 = tree_cpu(C.pid, NULL);
    double s1 = self_cpu();
    drain(C.settle);
    double c2 = tree_cpu(C.pid, &np);
    double el = (ph.t_end - ph.t_start) / 1e6;
    qsort(ph.lat, ph.nlat, 4, cmpu);
#define Q(q) (ph.nlat ? ph.lat[(long)((ph.nlat - 1) * (q))] / 1000.0 : 0)
    printf("{\"op\":\"%s\",\"transport\":\"%s\",\"n\":%ld,\"done\":%ld,\"fail\":%ld,"
           "\"retrans\":%ld,\"dup_req\":%ld,\"send_drop\":%ld,\"msgs_rx\":%ld,\"notify\":%ld,"
           "\"notify_stale\":%ld,\"notify_nobody\":%ld,\"challenges\":%ld,\"watchers\":%ld,",
           C.op, tn[C.tr], n, ph.done, ph.fail, ph.retr, ph.dup_req, st_drop_send, ph.recv_msg,
           ph.notify, ph.notify_stale, ph.notify_nobody, ph.auth_chal,
           kind == 'P' ? C.watchers : 0);
    printf("\"elapsed_s\":%.3f,\"lat_ms\":{\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,"
           "\"max\":%.3f},",
           el, Q(.5), Q(.95), Q(.99), Q(1.0));
    printf("\"codes\":{");
    int f = 1;
    for (int i = 0; i < 700; i++)
        if (ph.code[i]) {
            printf("%s\"%s%d\":%ld", f ? "" : ",",
                   i == 699   ? "timeout"
                   : i == 698 ? "aborted"
                              : "",
                   i, ph.code[i]);
            f = 0;
        }
    printf("},");
    printf("\"cpu\":{\"processes\":%d,\"run_s\":%.6f,\"settled_s\":%.6f,\"idle\":%.6f,"
           "\"generator_s\":%.6f}}\n",
           np, (c1 - c0) / 1e6, (c2 - c0) / 1e6, idle / 1e6, (s1 - s0) / 1e6);
    return ph.done == n ? 0 : 1;
}
