/* SPDX-License-Identifier: BSD-2-Clause */
/* A line that a peer sends to a machine's control socket: refused with a reason, or a request. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/control_message.h"

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_answers(const struct control_request *request, const char *message)
{
	char *line = control_error_line(request->id, CONTROL_BAD_REQUEST, message);
	json_t *answer;

	FUZZ_CHECK(line && !strchr(line, '\n'));
	answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	FUZZ_CHECK(json_is_object(answer) && json_object_get(answer, "error"));
	json_decref(answer);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	/* Exactly as long as it is, so that a read behind its end is seen. */
	char *line = malloc(size ? size : 1);
	struct control_request request;
	char why[256] = "";

	FUZZ_CHECK(line);
	memcpy(line, bytes, size);
	if (control_request_parse(line, size, &request, why, sizeof(why))) {
		FUZZ_CHECK(request.command && json_is_object(request.arguments));
		FUZZ_CHECK(!request.id || json_is_integer(request.id));
		check_answers(&request, request.command);
	} else {
		FUZZ_CHECK(!request.root && why[0] && !strchr(why, '\n'));
		check_answers(&request, why);
	}
	control_request_free(&request);
	free(line);
	return 0;
}
