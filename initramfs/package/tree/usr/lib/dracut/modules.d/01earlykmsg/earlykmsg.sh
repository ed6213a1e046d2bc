#!/bin/sh
# Ships the kernel log to where the kernel's command line says; without a destination there nothing happens.
# This is sourced by dracut: whatever becomes of it, the boot goes on.
/earlykmsg --background || :
