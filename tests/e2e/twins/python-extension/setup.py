from setuptools import Extension, setup

setup(ext_modules=[Extension("twice", ["twice.c"])])
