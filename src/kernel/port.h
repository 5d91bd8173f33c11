/* SPDX-License-Identifier: BSD-2-Clause */
/* I/O ports: one instruction each. */
#ifndef KERNEL_PORT_H
#define KERNEL_PORT_H

#include <stdint.h>

/* port_read8(port), port_write8(port, value) and so on. */
#define PORT(bits, letter)                                                                         \
	static inline void port_write##bits(uint16_t port, uint##bits##_t value)                   \
	{                                                                                          \
		__asm__ volatile("out" letter " %0, %1" : : "a"(value), "Nd"(port));               \
	}                                                                                          \
	static inline uint##bits##_t port_read##bits(uint16_t port)                                \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		__asm__ volatile("in" letter " %1, %0" : "=a"(value) : "Nd"(port));                \
		return value;                                                                      \
	}

PORT(8, "b")
PORT(16, "w")
PORT(32, "l")

#endif
