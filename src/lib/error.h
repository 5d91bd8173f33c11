/* SPDX-License-Identifier: BSD-2-Clause */
/* Error numbers as Linux has them, for code that has no errno.h. Functions return them negated. */
#ifndef LIB_ERROR_H
#define LIB_ERROR_H

#ifndef EPERM
#define EPERM	     1
#define ENOENT	     2
#define EIO	     5
#define E2BIG	     7
#define ENOEXEC	     8
#define EAGAIN	     11
#define ENOMEM	     12
#define EACCES	     13
#define EFAULT	     14
#define EBUSY	     16
#define EEXIST	     17
#define ENODEV	     19
#define EINVAL	     22
#define EFBIG	     27
#define ENOSPC	     28
#define EROFS	     30
#define ERANGE	     34
#define ENOSYS	     38
#define EPROTO	     71
#define EOVERFLOW    75
#define ENOTSUP	     95
#define EADDRINUSE   98
#define ENETDOWN     100
#define ECONNRESET   104
#define ETIMEDOUT    110
#define ECONNREFUSED 111
#endif

#endif
