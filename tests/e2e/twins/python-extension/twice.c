#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *twice(PyObject *self, PyObject *arguments) {
    long number;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "l", &number))
        return NULL;
    return PyLong_FromLong(2 * number);
}

static PyMethodDef methods[] = {{"twice", twice, METH_VARARGS, "Two times a number."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "twice", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_twice(void) { return PyModule_Create(&module); }
