/* Datagrams by the batch: recvmmsg(2) and sendmmsg(2), with nothing of SIP in it.
 *
 * A place is the `struct sockaddr` of a peer as octets. Neither call waits, so the GIL is held and
 * the buffers are everybody's.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

#ifndef __linux__
#error "the layout of addresses in batches.py is that of Linux"
#endif

#define BATCH 64
#define LARGEST 65536 /* more than any datagram has */

static char buffers[BATCH][LARGEST]; /* the kernel gives a page when it is first written to */
static struct sockaddr_storage places[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];

static void put(int at, void *place, Py_ssize_t length, void *octets, Py_ssize_t size)
{
    vectors[at] = (struct iovec){octets, (size_t)size};
    headers[at] = (struct mmsghdr){.msg_hdr = {
        .msg_name = place, .msg_namelen = (socklen_t)length,
        .msg_iov = &vectors[at], .msg_iovlen = 1,
    }};
}

/* The datagram at a place of the batch, as (octets, place). */
static PyObject *taken(int at)
{
    const struct msghdr *header = &headers[at].msg_hdr;
    PyObject *octets = PyBytes_FromStringAndSize(buffers[at], headers[at].msg_len), *place = NULL;
    PyObject *pair = NULL;
    if (octets && header->msg_namelen <= sizeof places[at])
        place = PyBytes_FromStringAndSize((char *)&places[at], header->msg_namelen);
    if (place) pair = PyTuple_Pack(2, octets, place);
    Py_XDECREF(octets);
    Py_XDECREF(place);
    return pair;
}

static PyObject *receive(PyObject *module, PyObject *descriptor)
{
    int socket = (int)PyLong_AsLong(descriptor), count;
    PyObject *arrived;
    if (socket == -1 && PyErr_Occurred()) return NULL;
    for (int at = 0; at < BATCH; at++)
        put(at, &places[at], sizeof places[at], buffers[at], LARGEST);
    count = recvmmsg(socket, headers, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0) return PyErr_SetFromErrno(PyExc_OSError);
    arrived = PyList_New(count);
    for (int at = 0; arrived && at < count; at++) {
        PyObject *pair = taken(at);
        if (pair) PyList_SET_ITEM(arrived, at, pair);
        else Py_CLEAR(arrived);
    }
    return arrived;
}

/* Take an item of the list into the batch; 0 where it is no pair of octets. */
static int give(int at, PyObject *pair)
{
    PyObject *octets, *place;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) return 0;
    octets = PyTuple_GET_ITEM(pair, 0);
    place = PyTuple_GET_ITEM(pair, 1);
    if (!PyBytes_Check(octets) || !PyBytes_Check(place)) return 0;
    if (PyBytes_GET_SIZE(place) > (Py_ssize_t)sizeof places[at]) return 0;
    put(at, PyBytes_AS_STRING(place), PyBytes_GET_SIZE(place), PyBytes_AS_STRING(octets),
        PyBytes_GET_SIZE(octets));
    return 1;
}

static PyObject *send_batch(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    long socket;
    Py_ssize_t from;
    int count = 0, sent;
    if (given != 3 || !PyList_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "send(descriptor: int, waiting: list, start: int)");
        return NULL;
    }
    socket = PyLong_AsLong(arguments[0]);
    from = PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred()) return NULL;
    for (; from >= 0 && from < PyList_GET_SIZE(arguments[1]) && count < BATCH; count++, from++)
        if (!give(count, PyList_GET_ITEM(arguments[1], from))) break;
    if (!count) {
        PyErr_SetString(PyExc_ValueError, "send: nothing there, or no octets and place");
        return NULL;
    }
    sent = sendmmsg((int)socket, headers, (unsigned)count, MSG_DONTWAIT);
    return sent < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(sent);
}

static PyMethodDef functions[] = {
    {"receive", receive, METH_O, "Return what is there, up to a batch; raises OSError."},
    {"send", (PyCFunction)(void (*)(void))send_batch, METH_FASTCALL,
     "Send from a place of a list on, up to a batch; return how many; raises OSError."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_batch", "Datagrams by the batch.", -1, functions,
};

PyMODINIT_FUNC PyInit__batch(void) { return PyModule_Create(&definition); }
