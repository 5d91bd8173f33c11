/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge image`: makes, shows, checks and changes disk images. */
#ifndef MANAGE_IMAGE_H
#define MANAGE_IMAGE_H

/* What follows the word image, ended by NULL. An exit status; what is wrong has been said. */
int image(char **arguments);

/* The name of its option number i, or NULL. */
const char *image_option_name(unsigned i);

/* Its verbs and options, on standard output. */
void image_help(void);

#endif
