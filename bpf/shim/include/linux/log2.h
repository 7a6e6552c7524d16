/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Nothing here is needed: the compiler front end only asks for the file. */
