"""The one thing that setup.cfg cannot hold: the scanner in C, left out where it does not build."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("sipproxy.sip._scan", ["sipproxy/sip/_scan.c"], optional=True)])
