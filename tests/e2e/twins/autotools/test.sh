#!/bin/sh
./greet | grep -q hello
