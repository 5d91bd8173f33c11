/* SPDX-License-Identifier: BSD-2-Clause */
/* The software engine: runs guests without any help of the processor (docs/translate.md). */
#ifndef TRANSLATE_TRANSLATE_H
#define TRANSLATE_TRANSLATE_H

#include "core/engine.h"

extern const struct engine engine_translate;

#endif
